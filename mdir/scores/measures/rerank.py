"""Re-ranking by k-reciprocal encodings (Zhong et al., CVPR 2017), in the form that SpCL prints."""

import numpy as np
import torch

from mdir.clustering.jaccard import average_neighbours, encode, pair_products, upper_overlaps
from mdir.clustering.reciprocal import expanded_sets, nearest_neighbours
from mdir.scores.measures.cmc import distance_blocks


def reranked_blocks(queries, gallery, k1=20, k2=6, weight=0.3, power=2):
    """Yield re-ranked distances as float32 arrays ``[rows, G]``, a block of queries each.

    ``(1 - weight) * Jaccard distance + weight * d ** power``, where d is the squared distance as a
    share of a row's largest. Memory grows with the neighbours, not with N x N.

    Args:
        queries: ``[Q, D]`` float32 tensor. gallery: ``[G, D]``, on the same device.
        k1: neighbours that make a set. k2: rows whose encodings are averaged.
        weight: of the distance itself (lambda).
        power: 2 squares the squared distances again, as published by SpCL; 1 does not.
    """
    features = torch.cat([queries, gallery])
    largest = np.concatenate([block.max(axis=1) for block in distance_blocks(features, features)])
    encodings = _encodings(features, largest, k1, k2, power)
    for start, overlaps in upper_overlaps(encodings, len(queries)):
        part = slice(start, start + overlaps.shape[0])
        shared = overlaps[:, len(queries) :].toarray()
        blocks = distance_blocks(queries[part], gallery)
        distances = np.concatenate(list(blocks)) / largest[part, None]
        jaccard = 1 - shared / (2 - shared)
        yield ((1 - weight) * jaccard + weight * distances**power).astype(np.float32)


def _encodings(features, largest, k1, k2, power):
    rows = features.cpu().numpy()
    neighbours = nearest_neighbours(rows, k1 + 1, features.device)
    sets = expanded_sets(neighbours, k1)
    owners = np.repeat(np.arange(len(rows)), np.diff(sets.indptr))
    lengths = np.einsum("nd,nd->n", rows, rows)
    squares = lengths[owners] + lengths[sets.indices] - 2 * pair_products(rows, sets)
    encodings = encode(sets, (squares / largest[owners]) ** power)
    return average_neighbours(encodings, neighbours, k2)
