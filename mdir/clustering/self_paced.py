"""Pseudo labels by DBSCAN, and which of them SpCL trusts (Ge et al., NeurIPS 2020)."""

from dataclasses import dataclass

import numpy as np

from cirtorch.utils.errors import DataError


def cluster_labels(distances, eps, min_samples=4):
    """Clusters of Cluster Contrast: DBSCAN on distances of :func:`jaccard_distance`.

    Returns:
        int64 ``[N]``: clusters from 0, numbered by their first core point; -1 for no cluster.

    Raises:
        DataError: no cluster at all, or eps not above 0 and below 1.
    """
    labels = _dbscan(_sorted(distances), eps, min_samples)
    if labels.max(initial=-1) < 0:
        raise _no_cluster(labels, eps, min_samples)
    return labels


@dataclass(frozen=True)
class SelfPacedLabels:
    """Labels of one epoch of SpCL, with what they were chosen by.

    ``labels`` int64 ``[N]``, with gaps: an instance that is not trusted is a class of its own.
    ``normal``, ``tight``, ``loose``: DBSCAN at eps, eps - gap and eps + gap; -1 for no cluster.
    ``compactness``, ``independence``: float32 ``[N]``, 1 - IoU of an instance's cluster with its
    tight and its loose one: small is good. ``threshold``: of independence, for later epochs.
    """

    labels: np.ndarray
    normal: np.ndarray
    tight: np.ndarray
    loose: np.ndarray
    compactness: np.ndarray
    independence: np.ndarray
    threshold: float

    @property
    def clusters(self):
        """Labels that several instances have."""
        return int((np.unique(self.labels, return_counts=True)[1] > 1).sum())

    @property
    def unclustered(self):
        """Labels that one instance has."""
        return int((np.unique(self.labels, return_counts=True)[1] == 1).sum())


def self_paced_labels(distances, eps=0.6, eps_gap=0.02, threshold=None, min_samples=4):
    """Cluster at three radii and keep only clusters, and members, that hardly change.

    Args:
        distances: of :func:`jaccard_distance`, at least all up to ``eps + eps_gap``.
        eps_gap: how much smaller and larger the other two radii are.
        threshold: of independence, as the first epoch gave it; None in the first epoch.

    Returns:
        :class:`SelfPacedLabels`.

    Raises:
        DataError: no cluster in the first epoch, or a radius not above 0 and below 1.
    """
    graph = _sorted(distances)
    normal, tight, loose = (
        _dbscan(graph, radius, min_samples) for radius in (eps, eps - eps_gap, eps + eps_gap)
    )
    own = noise_apart(normal)
    compactness = 1 - _overlap(own, noise_apart(tight))
    independence = 1 - _overlap(own, noise_apart(loose))
    sizes = np.bincount(own)
    best_compactness, best_independence = (
        _least(own, scores, len(sizes)) for scores in (compactness, independence)
    )
    if threshold is None:
        if sizes.max(initial=0) < 2:
            raise _no_cluster(normal, eps, min_samples)
        threshold = _ninth_tenth(best_independence[sizes > 1])
    kept = (best_independence[own] <= threshold) & (compactness <= best_compactness[own])
    labels = own.copy()
    labels[~kept] = len(sizes) + np.arange((~kept).sum())
    return SelfPacedLabels(labels, normal, tight, loose, compactness, independence, threshold)


def _sorted(distances):
    """As scikit-learn wants a graph: nearest first in each row."""
    from sklearn.neighbors import sort_graph_by_row_values  # late: it takes its time

    return sort_graph_by_row_values(distances, copy=True, warn_when_not_sorted=False)


def _dbscan(graph, eps, min_samples):
    if not 0 < eps < 1:
        raise DataError(
            f"a radius of {eps:g} for Jaccard distances: eps, less and plus its gap, must lie "
            "above 0 and below 1"
        )
    from sklearn.cluster import DBSCAN

    found = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit(graph)
    return found.labels_.astype(np.int64)


def noise_apart(labels):
    """Every instance without a cluster becomes one, numbered after the others."""
    labels = labels.copy()
    noise = labels < 0
    labels[noise] = labels.max(initial=-1) + 1 + np.arange(noise.sum())
    return labels


def _overlap(first, second):
    """IoU of the clusters that an instance has in two labellings, float32 ``[N]``."""
    pairs = first * (second.max(initial=0) + 1) + second
    _, pair, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    shared = counts[pair]
    union = np.bincount(first)[first] + np.bincount(second)[second] - shared
    return shared.astype(np.float32) / union.astype(np.float32)


def _least(labels, scores, count):
    least = np.full(count, np.inf, np.float32)
    np.minimum.at(least, labels, scores)
    return least


def _ninth_tenth(scores):
    """As published: rounded half to even, at most the last."""
    return float(np.sort(scores)[min(len(scores) - 1, int(np.round(0.9 * len(scores))))])


def _no_cluster(labels, eps, min_samples):
    return DataError(
        f"no cluster among {len(labels)} images: none has {min_samples - 1} others within "
        f"eps = {eps}; a larger eps joins more"
    )
