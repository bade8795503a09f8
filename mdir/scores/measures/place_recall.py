"""Recall of places: a query is right at n if one of its n nearest images was taken close to it.

gmberton/VPR-methods-evaluation; the crops of gmberton/deep-visual-geo-localization-benchmark.
"""

import numpy as np

from cirtorch.search.ranking import count_ranks

_VOTING_RANKS = (1, 5, 10)


def positives_within(database, queries, threshold: float) -> list[np.ndarray]:
    """Database images no farther than a threshold from each query, which is included.

    Args:
        database, queries: east and north in metres, float64 ``[N, 2]`` and ``[M, 2]``.
        threshold: in metres.

    Returns:
        ascending indices, int64, for each query.
    """
    # imported late: most scores do not need it
    from sklearn.neighbors import NearestNeighbors

    # the tree subtracts; among few images, brute force would round squares of millions of metres
    tree = NearestNeighbors(algorithm="kd_tree").fit(np.asarray(database, dtype=np.float64))
    found = tree.radius_neighbors(queries, radius=threshold, return_distance=False)
    return [np.sort(indices).astype(np.int64) for indices in found]


def padded(found: np.ndarray, count: int, value=-1) -> np.ndarray:
    """Indices ``[M, n]`` with -1 behind them, ``[M, count]``: a database may have fewer images."""
    return np.pad(found, ((0, 0), (0, count - found.shape[1])), constant_values=value)


def first_hits(predictions: np.ndarray, positives: list[np.ndarray]) -> np.ndarray:
    """Place (from 0) of each query's first positive among its predictions; -1: not among them.

    Args:
        predictions: ``[M, n]``, nearest first; -1 matches nothing.
    """
    hits = np.array(
        [np.isin(row, right) for row, right in zip(predictions, positives, strict=True)]
    ).reshape(predictions.shape)
    return np.where(hits.any(axis=1), hits.argmax(axis=1), -1)


def all_first_hits(database, queries, predictions, positives, device="cpu") -> np.ndarray:
    """As :func:`first_hits`, over the whole ranking by distance; -1: a query without positives.

    Args:
        database, queries: descriptors ``[N, D]`` and ``[M, D]``.
        predictions: the first of the rankings.
    """
    first = first_hits(predictions, positives)
    later = [q for q in range(len(first)) if first[q] < 0 and len(positives[q])]
    if later:
        gnd = [{"ok": positives[q]} for q in later]
        ranks = count_ranks(database, queries[later].T, gnd, device=device, metric="l2")
        for place, query in enumerate(later):
            first[query] = max(ranks.of(place, positives[query])[0], predictions.shape[1])
    return first


def recalls(first: np.ndarray, values: list[int]) -> list[float]:
    """Share of queries with a positive among the first n, for each n; NaN without any query.

    Args:
        first: as of :func:`first_hits`; whom a query without positives is to count for nothing is
            to leave it out.
    """
    if not len(first):
        return [float("nan")] * len(values)
    return [int(((first >= 0) & (first < n)).sum()) / len(first) for n in values]


def recall_text(values: list[int], shares: list[float]) -> str:
    """``R@1: 88.1, R@5: 93.0``: shares in percent."""
    return ", ".join(f"R@{n}: {100 * share:.1f}" for n, share in zip(values, shares, strict=True))


def merge_crops(
    distances: np.ndarray, found: np.ndarray, count: int, majority_weight: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """One ranking of those of several crops of a query: each image where it is nearest.

    Args:
        distances: squared, ``[M, crops, n]``, ascending. found: image indices, likewise.
        count: length of the rankings.
        majority_weight: null: nearest crop; else images that several crops find among their first
            1, 5 or 10 come nearer, by this weight times their share (majority voting).

    Returns:
        distances and image indices, ``[M, count]``, filled up with infinity and -1.
    """
    merged = np.full((len(found), count), np.inf), np.full((len(found), count), -1, np.int64)
    for query, (near, images) in enumerate(zip(distances, found, strict=True)):
        if majority_weight is not None:
            near = _voted(near, images, majority_weight)
        order = np.lexsort((images.ravel(), near.ravel()))
        _, first = np.unique(images.ravel()[order], return_index=True)
        chosen = order[np.sort(first)][:count]
        merged[0][query, : len(chosen)] = near.ravel()[chosen]
        merged[1][query, : len(chosen)] = images.ravel()[chosen]
    return merged


def _voted(distances, images, weight):
    """Distances after the votes of 1, 5 and 10 first places in turn."""
    distances = distances.copy()
    for ranks in _VOTING_RANKS:
        head = images[:, :ranks]
        _, which, counts = np.unique(head, return_inverse=True, return_counts=True)
        counts = counts[which.reshape(head.shape)]
        distances[:, :ranks] -= np.where(counts > 1, weight * counts / ranks, 0)
    return distances
