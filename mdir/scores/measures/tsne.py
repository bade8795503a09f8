"""Features as points of a plane, to be looked at."""

import numpy as np
import torch
from torch import Tensor

from mdir.report.pictures import spread

_DISTINCT = 4  # features that a t-SNE needs; of equal ones alone its tree does not end
_CLASSES = 12  # in a map, and at most so many pictures of each:
_PICTURES = 30


def tsne_points(vectors: np.ndarray, seed: int) -> list[list[float]] | None:
    """The t-SNE of rows ``[N, D]``, a point a row; None for those of a collapsed network."""
    # imported late: few evaluations draw maps
    from sklearn.manifold import TSNE

    if len(np.unique(vectors, axis=0)) < _DISTINCT:
        return None
    perplexity = min(30, (len(vectors) - 1) // 3)
    tsne = TSNE(2, perplexity=perplexity, random_state=seed, init="pca")
    return tsne.fit_transform(vectors).round(4).tolist()


def class_map(
    rows: Tensor, labels: np.ndarray, known: np.ndarray, beside: Tensor | None = None
) -> tuple[np.ndarray, list | None]:
    """Pictures of some classes, evenly chosen, and their :func:`tsne_points`.

    Args:
        rows: features ``[N, D]``. labels: ``[N]``. known: the labels to choose from.
        beside: ``[P, D]``, what is to be seen on the same map.

    Returns:
        indices ``[M]`` of the pictures, class by class, and a point each; then those of ``beside``.
    """
    places = [np.flatnonzero(labels == one) for one in _evenly(known, _CLASSES)]
    chosen = np.concatenate([_evenly(one, _PICTURES) for one in places])
    shown = torch.cat([rows[chosen], *([] if beside is None else [beside])])
    return chosen, tsne_points(shown.double().cpu().numpy(), seed=0)


def _evenly(values, most):
    return values[spread(len(values), most)]
