"""Scores of re-identification: average precision, matches by rank (CMC) and the hardest match."""

from dataclasses import dataclass

import numpy as np
import torch

from cirtorch.search.precision import full_precision
from cirtorch.utils.errors import DataError

_QUERIES_AT_ONCE = 64
_REPEATS = 10


@dataclass(frozen=True)
class ReidScores:
    """Fractions; means are over the queries that have a match to find.

    ``average_precision`` float64 ``[Q]``: NaN of queries that were skipped. ``mean_ap``: their
    mean. ``cmc`` float64 ``[topk]``: queries with a match among the first 1, 2, ... images.
    ``mean_inp``: mean of matches / rank of the last match (Ye et al.: Deep Learning for Person
    Re-identification, TPAMI 2021), ``inverse_penalty`` float64 ``[Q]`` that of each query.
    ``first_match`` float64 ``[Q]``: rank of the first match, from 1. NaN of queries skipped.
    """

    average_precision: np.ndarray
    mean_ap: float
    cmc: np.ndarray
    mean_inp: float
    inverse_penalty: np.ndarray
    first_match: np.ndarray

    def hits(self, rank: int) -> np.ndarray:
        """float64 ``[Q]``: 1 where the first match is among so many, else 0; NaN where skipped."""
        return np.where(np.isnan(self.first_match), np.nan, self.first_match <= rank)


@full_precision()
def distance_blocks(queries, gallery=None):
    """Yield squared Euclidean distances as float32 arrays ``[rows, G]``, a block of queries each.

    Args:
        queries: ``[Q, D]`` float32 tensor. gallery: ``[G, D]``, on the same device; by default the
            queries, then taken for unit rows: ``2 |x_i|^2 - 2 x_i.x_j``, as published.
    """
    own = gallery is None
    gallery = queries if own else gallery
    lengths = torch.einsum("gd,gd->g", gallery, gallery)  # without a copy of the gallery
    for block in queries.split(_QUERIES_AT_ONCE):
        squares = block.square().sum(dim=1, keepdim=True)
        sums = 2 * squares if own else squares + lengths
        yield (sums - 2 * (block @ gallery.T)).cpu().numpy()


def reid_scores(
    distances,
    query,
    gallery,
    topk=100,
    separate_camera_set=False,
    single_gallery_shot=False,
    first_match_break=True,
):
    """Score rankings by distance; of equal distances the lower gallery index comes first.

    Images of a query's identity by its own camera are left out. Average precision takes equal
    distances for one threshold, as scikit-learn's does.

    Args:
        distances: float arrays ``[rows, G]``, together of all Q queries, in order.
        query: identities and cameras, int arrays ``[Q]``. gallery: the same, ``[G]``.
        topk: length of the CMC.
        separate_camera_set: the CMC leaves out all images by the query's camera.
        single_gallery_shot: the CMC is the mean over 10 galleries of one image an identity, drawn
            from NumPy's global generator.
        first_match_break: only the first match of a query counts; else all do, each with its share
            at the rank it has without the matches before it.

    Raises:
        DataError: NaN among the distances of a query, or no query with a match.
    """
    gallery_ids, gallery_cameras = gallery
    precision, penalty, first, cmc = [], [], [], np.zeros(topk)
    rows = (row for block in distances for row in block)
    for row, identity, camera in zip(rows, *query, strict=True):
        if np.isnan(row).any():
            raise DataError(f"query {len(precision)}: NaN among its distances")
        other, foreign = gallery_ids != identity, gallery_cameras != camera
        matches = np.flatnonzero(~other & foreign)
        matches = matches[np.argsort(row[matches], kind="stable")]
        if not len(matches):
            for values in (precision, penalty, first):
                values.append(np.nan)
            continue
        before, within = _others_ahead(row, matches, np.flatnonzero(other))
        found = np.searchsorted(row[matches], row[matches], side="right")
        precision.append((found / (found + within)).mean())
        penalty.append(len(matches) / (len(matches) + before[-1]))
        first.append(before[0] + 1)
        others = np.flatnonzero(other & foreign if separate_camera_set else other)
        if single_gallery_shot:
            ranks = _single_shot_ranks(row, matches, others, gallery_ids)
        else:
            ranks, _ = _others_ahead(row, matches[:1] if first_match_break else matches, others)
        cmc += np.bincount(ranks[ranks < topk], minlength=topk) / len(ranks)
    penalty = np.array(penalty)
    answered = penalty[~np.isnan(penalty)]
    if not len(answered):
        raise DataError("No valid query: no gallery image of a query's identity by another camera")
    return ReidScores(
        average_precision=np.array(precision),
        mean_ap=float(np.nanmean(precision)),
        cmc=cmc.cumsum() / len(answered),
        mean_inp=float(np.mean(answered)),
        inverse_penalty=penalty,
        first_match=np.array(first, dtype=np.float64),
    )


def _others_ahead(row, matches, others):
    """How many others are ranked before each match, and how many are no farther."""
    targets, values = row[matches], np.sort(row[others])
    before, within = (np.searchsorted(values, targets, side=side) for side in ("left", "right"))
    for tied in np.flatnonzero(before < within):
        lower = others[: np.searchsorted(others, matches[tied])]
        before[tied] += (row[lower] == targets[tied]).sum()
    return before, within


def _single_shot_ranks(row, matches, others, gallery_ids):
    """Ranks of the match among one image drawn of each identity, ``[10]``."""
    kept = np.sort(np.concatenate([matches, others]))
    kept = kept[np.argsort(row[kept], kind="stable")]
    known, first, identities, sizes = np.unique(
        gallery_ids[kept], return_index=True, return_inverse=True, return_counts=True
    )
    members, starts = np.argsort(identities, kind="stable"), np.cumsum(sizes) - sizes
    drawn = np.argsort(first)  # identities are drawn from in the order of their ranks
    own = np.flatnonzero(known[drawn] == gallery_ids[matches[0]])
    ranks = []
    for _ in range(_REPEATS):
        places = members[starts[drawn] + np.random.randint(0, sizes[drawn])]
        ranks.append((places < places[own]).sum())
    return np.array(ranks)
