"""Distances between two sets of features."""

import numpy as np
import torch

from cirtorch.utils.errors import DataError
from cirtorch.utils.finite import require_finite


def frechet_distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Distance between the normal distributions fitted to two sets: ``|m1-m2|^2 + tr(...)``.

    Heusel et al.: GANs Trained by a Two Time-Scale Update Rule, NIPS 2017 (FID). The trace of the
    covariances' square root is taken from singular values of the centred features, which is exact
    also for fewer images than dimensions. Biased for small sets: compare equal sizes only.

    Args:
        first, second: (N,D) and (M,D) float64, N and M at least 2.
    """
    _require_pairs(first, second)
    means = first.mean(0), second.mean(0)
    centred = [
        (features - mean) / (len(features) - 1) ** 0.5
        for features, mean in zip((first, second), means, strict=True)
    ]
    traces = sum(float(features.square().sum()) for features in centred)
    left, right = (_compress(features) for features in centred)
    cross = float(torch.linalg.svdvals(left @ right.T).sum())
    return float((means[0] - means[1]).square().sum()) + traces - 2 * cross


def kernel_distance(
    first: torch.Tensor,
    second: torch.Tensor,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Mean and standard deviation over subsets of the unbiased squared MMD (KID).

    Binkowski et al.: Demystifying MMD GANs, ICLR 2018; kernel ``(x.y/D + 1)^3``. Sets that are no
    larger than ``subset_size`` are compared once, as they are.
    """
    _require_pairs(first, second)
    size = min(subset_size, len(first), len(second))
    generator = np.random.RandomState(seed)
    if size == len(first) == len(second):
        subsets = 1
    values = [
        _squared_mmd(*(f[generator.permutation(len(f))[:size]] for f in (first, second)))
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def _squared_mmd(x, y):
    n = len(x)
    same = sum(_kernel(a, a).sum() - _kernel(a, a).trace() for a in (x, y)) / (n * (n - 1))
    return float(same - 2 * _kernel(x, y).mean())


def _kernel(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def _compress(features):
    """As many rows as are needed for the same Gram matrix over dimensions."""
    return torch.linalg.qr(features).R if len(features) > features.shape[1] else features


def _require_pairs(first, second):
    for features in (first, second):
        require_finite(features)
    if min(len(first), len(second)) < 2:
        raise DataError(
            f"a distance between sets needs 2 or more images in each, got {len(first)} and "
            f"{len(second)}"
        )
