"""Scores of one set of images of many classes, where each looks for the others of its class.

Musgrave, Belongie, Lim: A Metric Learning Reality Check, ECCV 2020; recalls as leftthomas's
UnifiedProxy has them.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cirtorch.search.precision import full_precision
from cirtorch.utils.errors import DataError
from cirtorch.utils.finite import require_finite

_SIMILARITIES_AT_ONCE = 1 << 23


@dataclass(frozen=True)
class ClassScores:
    """What is found for each image of a set among the others.

    Attributes:
        first: int64 ``[N]``, rank of the first image of its class, from 1; 0: none among those
            looked at.
        r_precision: float64 ``[N]``, share of its class among as many images as that has; NaN of
            an image that is alone in its class.
        precision_at_r: float64 ``[N]``, mean over those ranks of the precision where one of its
            class stands, 0 elsewhere (MAP@R is the mean of it); NaN likewise.
        nearest: int64 ``[N, shown]``, the first images.
    """

    first: np.ndarray
    r_precision: np.ndarray
    precision_at_r: np.ndarray
    nearest: np.ndarray

    def recall(self, rank: int) -> float:
        """Share of all images, lone ones too, with one of their class among the first ``rank``."""
        return float(self.hits(rank).mean())

    def hits(self, rank: int) -> np.ndarray:
        """float64 ``[N]``: 1 where one of the class is among the first ``rank``, else 0."""
        return ((self.first > 0) & (self.first <= rank)).astype(np.float64)


def class_scores(features: Tensor, labels, ranks, shown: int = 0, reranking=None) -> ClassScores:
    """Score rankings by dot product; of equal ones the lower index comes first.

    Memory does not grow with the square of the images.

    Args:
        features: ``[N, D]`` float unit rows, computed on where they are.
        labels: whole numbers ``[N]``.
        ranks: from 1, in any order; those above N - 1 are N - 1.
        shown: how many of the first images are kept.
        reranking: a :class:`mdir.scores.reranking.Reranking`; null: none.

    Raises:
        DataError: NaN or infinity in a feature, fewer than two images, or a rank below 1.
    """
    require_finite(features)
    if not ranks or min(ranks) < 1:
        raise DataError(f"ranks of a recall are 1 or more, got {list(ranks)}")
    count = len(features)
    if count < 2:
        raise DataError(f"recall needs two images, got {count}")
    labels = torch.as_tensor(labels, device=features.device)
    _, classes, sizes = labels.unique(return_inverse=True, return_counts=True)
    others = sizes[classes] - 1
    looked_at = min(count - 1, max(*ranks, shown, int(others.max())))
    queries, device, parts = features, features.device, []
    if reranking is not None:
        looked_at = max(looked_at, min(count - 1, reranking.top))
        expanded = reranking.expand(queries, features, np.arange(count), device)
        queries, features = (one.to(device) for one in expanded)
    for rows in torch.arange(count, device=features.device).split(_rows_at_once(count)):
        places = nearest_others(features, rows, looked_at, queries)
        if reranking is not None:
            order = reranking.order(queries[rows], features, places.cpu().numpy(), device=device)
            places = places.gather(1, torch.from_numpy(order).to(device))
        right = labels[places] == labels[rows, None]
        parts.append((*_precisions(right, others[rows]), places[:, :shown]))
    first, r_precision, at_r, nearest = (
        torch.cat(one).cpu().numpy() for one in zip(*parts, strict=True)
    )
    return ClassScores(first, r_precision, at_r, nearest)


@full_precision()
def nearest_others(features: Tensor, rows: Tensor, count: int, queries=None) -> Tensor:
    """The ``count`` images of the largest dot product with each of some, themselves left out.

    Args:
        features: ``[N, D]``. rows: long ``[B]``. count: at most N - 1.
        queries: ``[N, D]``, what to look them up by; null: the features themselves.

    Returns:
        long ``[B, count]``, nearest first; of equals the lower index first.
    """
    scores = (features if queries is None else queries)[rows] @ features.T
    scores[torch.arange(len(rows), device=rows.device), rows] = float("-inf")
    return largest(scores, count)


def largest(scores: Tensor, count: int) -> Tensor:
    """Places of the ``count`` largest scores of each row, of equals the first, largest first.

    Args:
        scores: ``[B, N]``. count: less than N.

    Returns:
        long ``[B, count]``.
    """
    values, places = scores.topk(count + 1, dim=1)  # which of equals come last is left to chance
    tied = values[:, count - 1] == values[:, count]
    if tied.any():
        last, among = values[tied, count - 1, None], scores[tied]
        above, equal = among > last, among == last
        missing = count - above.sum(dim=1, keepdim=True)
        chosen = above | (equal & (equal.cumsum(dim=1) <= missing))
        places[tied, :count] = chosen.nonzero()[:, 1].view(-1, count)
    places = places[:, :count].sort(dim=1).values
    order = scores.gather(1, places).argsort(dim=1, descending=True, stable=True)
    return places.gather(1, order)


def normalized_mutual_information(features: np.ndarray, labels, seed: int = 0) -> float:
    """Of classes and as many k-means clusters, arithmetic mean below the fraction (0 to 1).

    Args:
        features: ``[N, D]``. labels: ``[N]``. seed: of the first centres.
    """
    # imported late: few evaluations cluster
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import normalized_mutual_info_score

    means = KMeans(len(np.unique(labels)), n_init=1, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # equal features are fewer clusters
        clusters = means.fit_predict(features)
    return float(normalized_mutual_info_score(labels, clusters))


def _rows_at_once(count):
    return max(1, _SIMILARITIES_AT_ONCE // count)


def _precisions(right, others):
    """Rank of the first right one, R-precision and its mean precision of each row."""
    ranks = torch.arange(1, right.shape[1] + 1, device=right.device)
    found = right.any(dim=1)
    first = (right.int().argmax(dim=1) + 1) * found
    counted = right & (ranks <= others[:, None])
    matches = counted.cumsum(dim=1)
    precision = (matches.double() / ranks * counted).sum(dim=1) / others
    return first, counted.sum(dim=1).double() / others, precision
