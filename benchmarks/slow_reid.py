"""Plain twins of clustering and scoring: whole matrices and loops, as published."""

import numpy as np
from sklearn.cluster import DBSCAN
from sklearn.metrics import average_precision_score


def neighbours(squared_distances, k):
    """A full sort of each row; of equal distances the lower index first."""
    return np.argsort(squared_distances, axis=1, kind="stable")[:, :k]


def reciprocal(ranked, i, width):
    """Neighbours of ``i`` that have it among theirs, in the order of their ranks."""
    forward = ranked[i, :width]
    return forward[(ranked[forward, :width] == i).any(axis=1)]


def expanded(ranked, i, k1):
    """The k-reciprocal set of ``i`` with the sets that lie mostly inside."""
    whole = reciprocal(ranked, i, k1 + 1)
    members = whole
    for candidate in whole:
        half = reciprocal(ranked, candidate, int(np.around(k1 / 2)) + 1)
        if 3 * len(np.intersect1d(half, whole)) > 2 * len(half):
            members = np.append(members, half)
    return np.unique(members)


def encodings(distances, ranked, k1, k2):
    """Dense encodings ``[N, N]``, averaged over the first ``k2`` neighbours."""
    V = np.zeros(distances.shape, np.float32)
    for i in range(len(V)):
        members = expanded(ranked, i, k1)
        weights = np.exp(-distances[i, members])
        V[i, members] = weights / weights.sum()
    if k2 == 1:
        return V
    return np.stack([V[ranked[i, :k2]].mean(axis=0) for i in range(len(V))])


def overlaps(V, count):
    """Yield, for the first ``count`` rows, the overlap with all rows ``[N]``."""
    owners = [np.flatnonzero(column) for column in V.T]
    for i in range(count):
        found = np.zeros(len(V))
        for g in np.flatnonzero(V[i]):
            found[owners[g]] += np.minimum(V[i, g], V[owners[g], g])
        yield found


def jaccard(features, k1, k2):
    """Dense Jaccard distances ``[N, N]`` of unit rows."""
    distances = 2 - 2 * features @ features.T
    ranked = neighbours(distances.astype(np.float64), k1)
    V = encodings(distances, ranked, k1, k2)
    J = np.empty_like(V)
    for i, shared in enumerate(overlaps(V, len(V))):
        J[i] = np.maximum(1 - shared / (2 - shared), 0)
    return J


def self_paced(J, eps, eps_gap, threshold=None):
    """Labels and threshold of one epoch of SpCL, from matrices of equal labels."""
    equal, normal = [], None
    for radius in (eps, eps - eps_gap, eps + eps_gap):
        labels = DBSCAN(eps=radius, min_samples=4, metric="precomputed").fit_predict(J)
        noise = np.flatnonzero(labels < 0)
        labels[noise] = labels.max() + 1 + np.arange(len(noise))
        normal = labels if normal is None else normal
        equal.append(labels[:, None] == labels)
    compactness, independence = (
        1 - np.float32((equal[0] & other).sum(axis=1)) / np.float32((equal[0] | other).sum(axis=1))
        for other in equal[1:]
    )
    count = normal.max() + 1
    compact = [compactness[normal == k].min() for k in range(count)]
    independent = [independence[normal == k].min() for k in range(count)]
    if threshold is None:
        several = sorted(independent[k] for k in range(count) if (normal == k).sum() > 1)
        threshold = several[min(len(several) - 1, int(np.round(0.9 * len(several))))]
    labels, fresh = normal.copy(), count
    for i, k in enumerate(normal):
        if independent[k] > threshold or compactness[i] > compact[k]:
            labels[i], fresh = fresh, fresh + 1
    return labels, threshold


def scores(distances, query, gallery, topk=100):
    """Mean average precision, CMC by the first match, and mean INP, from full rankings."""
    precision, penalty, cmc = [], [], np.zeros(topk)
    gallery_ids, gallery_cameras = gallery
    for row, identity, camera in zip(distances, *query, strict=True):
        ranking = np.argsort(row, kind="stable")
        ranking = ranking[(gallery_ids[ranking] != identity) | (gallery_cameras[ranking] != camera)]
        right = gallery_ids[ranking] == identity
        if right.any():
            precision.append(average_precision_score(right, -row[ranking]))
            ranks = np.flatnonzero(right)
            penalty.append(len(ranks) / (ranks[-1] + 1))
            cmc[ranks[0] :] += 1
    return np.mean(precision), cmc / len(precision), np.mean(penalty)


def refresh(memory, places, rows, momentum):
    """Rows of a memory move towards those of a batch, image by image."""
    for place, row in zip(places, rows, strict=True):
        moved = momentum * memory[place] + (1 - momentum) * row
        memory[place] = moved / moved.norm()
    return memory
