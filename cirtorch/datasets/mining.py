"""Choosing training tuples from descriptors: hard negatives and diverse anchors.

Hard negatives as in Radenović et al., "Fine-tuning CNN Image Retrieval with No Human Annotation"
(TPAMI 2019); diverse anchors as in Mohwald et al., "Dark Side Augmentation" (ICCV 2023).
Descriptors are columns, ``[D, N]``.
"""

import torch

from cirtorch.search.precision import full_precision
from cirtorch.utils.errors import DataError

_SCORES_AT_ONCE = 1 << 24
_SHORTLIST_PER_NEGATIVE = 16


@full_precision()
def mine_hard_negatives(qvecs, pool_vecs, query_clusters, pool_clusters, neg_num):
    """The ``neg_num`` most similar pool images of each query, at most one a cluster.

    Images of the query's own cluster are never taken. Among equal similarities the lower position
    in the pool wins. Queries are scored in blocks and only a short list of each ranking is looked
    at, made longer where it does not reach.

    Args:
        qvecs: ``[D, Q]`` descriptors of the queries, float32 or float64.
        pool_vecs: ``[D, P]`` descriptors of the pool, same dtype and device.
        query_clusters: ``[Q]`` integer cluster of each query (sequence or tensor).
        pool_clusters: ``[P]`` integer cluster of each pool image.
        neg_num: negatives a query, at least 0.

    Returns:
        positions in the pool, int64 ``[Q, neg_num]`` on the CPU, hardest first, and the distances
        ``||q - n + 1e-6||``, ``[Q, neg_num]`` on the CPU in the dtype of the descriptors.

    Raises:
        DataError: NaN among the descriptors, or a query sees fewer than ``neg_num`` other clusters.
    """
    device = qvecs.device
    query_clusters = torch.as_tensor(query_clusters, dtype=torch.int64, device=device)
    pool_clusters = torch.as_tensor(pool_clusters, dtype=torch.int64, device=device)
    queries, pool = qvecs.shape[1], pool_vecs.shape[1]
    _check_descriptors(qvecs, pool_vecs)
    _check_clusters(query_clusters, pool_clusters, neg_num)
    if neg_num == 0 or queries == 0:
        return torch.zeros(queries, neg_num, dtype=torch.int64), qvecs.new_zeros(
            queries, neg_num
        ).cpu()
    negatives, distances = [], []
    for block in torch.arange(queries, device=device).split(max(1, _SCORES_AT_ONCE // pool)):
        scores = qvecs[:, block].t() @ pool_vecs
        chosen = _walk_down(scores, query_clusters[block], pool_clusters, neg_num)
        difference = qvecs[:, block, None] - pool_vecs[:, chosen] + 1e-6
        negatives.append(chosen.cpu())
        distances.append(difference.pow(2).sum(dim=0).sqrt().cpu())
    return torch.cat(negatives), torch.cat(distances)


def _check_descriptors(*matrices):
    if any(torch.isnan(vecs).any() for vecs in matrices):
        raise DataError("mining: descriptors hold NaN; the network diverged or an image is broken")


def _check_clusters(query_clusters, pool_clusters, neg_num):
    present = torch.unique(pool_clusters)
    others = len(present) - torch.isin(query_clusters, present).long()
    if len(query_clusters) and int(others.min()) < neg_num:
        raise DataError(
            f"mining: {neg_num} negatives of different clusters are asked for, but the pool of "
            f"{len(pool_clusters)} images has only {int(others.min())} clusters other than that of "
            "a query; enlarge the pool or ask for fewer negatives"
        )


def _walk_down(scores, query_clusters, pool_clusters, neg_num):
    """Positions ``[B, neg_num]`` of the negatives for scores ``[B, P]``."""
    pool = scores.shape[1]
    length = min(pool, _SHORTLIST_PER_NEGATIVE * neg_num)
    chosen, complete = _from_shortlist(scores, query_clusters, pool_clusters, neg_num, length)
    while not bool(complete.all()):
        length = min(pool, 4 * length)
        open_rows = (~complete).nonzero().squeeze(1)
        chosen[open_rows], complete[open_rows] = _from_shortlist(
            scores[open_rows], query_clusters[open_rows], pool_clusters, neg_num, length
        )
    return chosen


def _from_shortlist(scores, query_clusters, pool_clusters, neg_num, length):
    """Walk the best ``length`` of every row; also tells which rows cannot change with more."""
    values, order = scores.topk(length, dim=1)
    order, by_index = order.sort(dim=1)
    values, by_value = values.gather(1, by_index).sort(dim=1, descending=True, stable=True)
    order = order.gather(1, by_value)
    clusters = pool_clusters[order]
    free = clusters != query_clusters[:, None]
    chosen = torch.zeros(len(scores), neg_num, dtype=torch.int64, device=scores.device)
    complete = torch.ones(len(scores), dtype=torch.bool, device=scores.device)
    for slot in range(neg_num):
        found = free.any(dim=1)
        first = free.to(torch.uint8).argmax(dim=1, keepdim=True)
        # Equal scores at the end of the list may hide a lower position that the list left out.
        certain = values.gather(1, first).squeeze(1) > values[:, -1]
        complete &= found & (certain if length < scores.shape[1] else found)
        chosen[:, slot] = order.gather(1, first).squeeze(1)
        free &= clusters != clusters.gather(1, first)
    return chosen, complete


@full_precision()
def diverse_anchors(vecs, size, exclude, include, shuffle=True):
    """Pick anchors that differ from each other, at random within a band of the ranking.

    The first candidate is picked first. Each next one is drawn from the candidates sorted by their
    largest similarity to those picked, without the ``exclude`` most similar fraction and within
    the ``include`` most similar. That largest similarity is kept up to date instead of computed
    anew, so the whole costs O(size x N).

    Args:
        vecs: ``[D, N]`` descriptors of the candidates.
        size: how many to pick, 1..N.
        exclude, include: fractions in 0..1, ``exclude <= include``.
        shuffle: draw by ``torch.randint`` (global generator); False takes the last of the band.

    Returns:
        picked positions in the order of picking, and the similarity each had when it was picked
        (without the first: ``size - 1`` numbers).
    """
    count = vecs.shape[1]
    if not 1 <= size <= count:
        raise DataError(f"diverse anchors: cannot pick {size} of {count} candidates")
    if not exclude <= include:
        raise DataError(f"diverse anchors: exclude {exclude} is larger than include {include}")
    _check_descriptors(vecs)
    rows = vecs.t()
    picked, similarities = [0], []
    similarity = rows @ vecs[:, 0]
    similarity[0] = float("inf")
    for _ in range(size - 1):
        valid = count - len(picked)
        stop = max(int(valid * (1 - exclude)), 1)
        start = min(int(valid * (1 - include)), stop - 1)
        draw = int(torch.randint(stop - start, (1,))) if shuffle else stop - start - 1
        position, value = _element_at(similarity, start + draw)
        picked.append(position)
        similarities.append(value)
        similarity = torch.maximum(similarity, rows @ vecs[:, position])
        similarity[position] = float("inf")
    return picked, similarities


def _element_at(values, rank):
    """Position and value of the element that a stable ascending sort puts at ``rank``."""
    value = values.kthvalue(rank + 1).values
    same = (values == value).nonzero().squeeze(1)
    return int(same[rank - int((values < value).sum())]), float(value)
