"""How sure a mean over queries is, and whether two systems differ on the same queries.

Percentile bootstrap (Efron, Tibshirani: An Introduction to the Bootstrap, 1993), sign-flip
permutation (Fisher), exact McNemar test, Wilson's interval (1927), Student's (1908). Every
generator is made fresh of its seed, so that a number does not depend on what was computed before.
"""

from typing import NamedTuple

import numpy as np

RESAMPLES, LEVEL, EXACT_UP_TO = 10_000, 0.95, 14
NORMAL_QUANTILE = 1.959963984540054  # of LEVEL, two-sided
_ROUNDING = 1e-12
_NUMBERS_AT_ONCE = 1 << 16  # what a core's cache holds


class Interval(NamedTuple):
    """A mean with its interval and standard error."""

    mean: float
    low: float
    high: float
    standard_error: float


class Difference(NamedTuple):
    """The mean of a - b with its percentile interval and two-sided p by the paired bootstrap."""

    mean: float
    low: float
    high: float
    p: float


def resampled_means(values, resamples=RESAMPLES, seed=0, groups=None) -> np.ndarray:
    """Means of values drawn with replacement, float64 ``[resamples]``.

    Args:
        values: ``[n]``, one a query.
        groups: ``[n]``, what is drawn together, such as queries of one place; null: each alone.
    """
    sums, counts = _by_group(values, groups)
    generator, means = np.random.default_rng(seed), []
    for rows in _blocks(resamples, len(sums)):
        drawn = generator.integers(0, len(sums), size=(rows, len(sums)))
        if groups is None:
            means.append(sums[drawn].mean(axis=1))
        else:
            means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return np.concatenate(means)


def bootstrap(values, resamples=RESAMPLES, seed=0, level=LEVEL, groups=None) -> Interval:
    """The mean of values with its percentile interval; for arguments see :func:`resampled_means`.

    Args:
        level: share of resamples inside the interval.
    """
    means = resampled_means(values, resamples, seed, groups)
    return Interval(float(np.mean(values)), *_quantiles(means, level), float(means.std(ddof=1)))


def paired_bootstrap(a, b, resamples=RESAMPLES, seed=0, level=LEVEL, groups=None) -> Difference:
    """How much larger a is than b on the same queries; for arguments see :func:`bootstrap`."""
    differences = np.subtract(a, b, dtype=np.float64)
    means = resampled_means(differences, resamples, seed, groups)
    below, above = (means <= _ROUNDING).sum() + 1, (means >= -_ROUNDING).sum() + 1
    p = min(1.0, 2 * min(below, above) / (resamples + 1))
    return Difference(float(differences.mean()), *_quantiles(means, level), float(p))


def permutation_test(a, b, resamples=RESAMPLES, seed=0, groups=None) -> float:
    """Two-sided p of a and b being exchangeable on every query, by random signs of ``a - b``.

    Args:
        groups: as of :func:`resampled_means`; a group has one sign.
    """
    sums, _ = _by_group(np.subtract(a, b, dtype=np.float64), groups)
    generator, extreme = np.random.default_rng(seed), 0
    for rows in _blocks(resamples, len(sums)):
        signs = 2 * generator.integers(0, 2, size=(rows, len(sums))) - 1
        extreme += _extreme(signs, sums, len(a))
    return (extreme + 1) / (resamples + 1)


def exact_permutation_test(a, b, groups=None) -> float:
    """As :func:`permutation_test` over all patterns of signs, of which there are 2 ** n."""
    sums, _ = _by_group(np.subtract(a, b, dtype=np.float64), groups)
    patterns = np.arange(1 << len(sums))[:, None] >> np.arange(len(sums)) & 1
    return float(_extreme(2 * patterns - 1, sums, len(a)) / len(patterns))


def mcnemar(a, b) -> tuple[int, int, float]:
    """Queries that only a, and that only b, is right about, and the exact two-sided p.

    Args:
        a, b: ``[n]`` of 0 and 1.
    """
    # imported late: few evaluations are compared
    from scipy.special import bdtr

    a, b = np.asarray(a, bool), np.asarray(b, bool)
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    p = 2 * bdtr(min(only_a, only_b), only_a + only_b, 0.5) if only_a + only_b else 1.0
    return only_a, only_b, min(1.0, float(p))


def student(values, level=LEVEL) -> Interval:
    """The mean of two values or more, such as one a seed, with its interval if they are normal."""
    # imported late: few evaluations are repeated
    from scipy.special import stdtrit

    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))
    half = float(stdtrit(len(values) - 1, (1 + level) / 2)) * error
    return Interval(mean, mean - half, mean + half, error)


def wilson(hits, total, z=NORMAL_QUANTILE):
    """Interval ``low, high`` of a share of hits; numbers or arrays."""
    share, spread = np.divide(hits, total), np.divide(np.square(z), total)
    centre = (share + spread / 2) / (1 + spread)
    half = (
        z / (1 + spread) * np.sqrt(share * (1 - share) / total + spread / (4 * np.asarray(total)))
    )
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def _by_group(values, groups):
    """Sum and number of the values of each group, in the order in which groups appear."""
    values = np.asarray(values, dtype=np.float64)
    if groups is None:
        return values, np.ones(len(values))
    _, first, which = np.unique(groups, return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(first))[which]
    return np.bincount(place, values), np.bincount(place)


def _blocks(rows, width):
    step = max(1, _NUMBERS_AT_ONCE // width)
    return [min(step, rows - start) for start in range(0, rows, step)]


def _quantiles(means, level):
    ends = np.quantile(means, [(1 - level) / 2, 1 - (1 - level) / 2])
    return float(ends[0]), float(ends[1])


def _extreme(signs, sums, count):
    """How many patterns of signs give a mean as far from 0 as the one that was measured."""
    return int((abs(signs @ sums) / count >= abs(sums.sum()) / count - _ROUNDING).sum())
