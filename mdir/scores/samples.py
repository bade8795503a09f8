"""Values of queries behind the averages of a score: their intervals, and tests between two runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdir.scores.measures.intervals import (
    EXACT_UP_TO,
    bootstrap,
    exact_permutation_test,
    mcnemar,
    paired_bootstrap,
    permutation_test,
    wilson,
)

SIGNIFICANT = 0.05
_ONE, _NONE = "one query alone", "no query"


@dataclass(frozen=True)
class Sample:
    """What an average is the mean of.

    Attributes:
        values: float64 ``[Q]``, one a query in the order of the rankings; NaN of one that is left
            out of the mean.
        hits: whether they are 1 for a query that is right and 0 for others.
        groups: what is not independent of each other, as queries of one place; null: all are.
    """

    values: np.ndarray
    hits: bool = False
    groups: Sequence | None = None

    def stored(self) -> dict:
        """As JSON has it."""
        values = [None if np.isnan(value) else value for value in map(float, self.values)]
        return {"values": values, "hits": self.hits, "groups": self.groups}


def read_sample(stored: dict) -> Sample:
    """A sample from :meth:`Sample.stored`."""
    values = np.array(stored["values"], dtype=np.float64)
    return Sample(values, bool(stored["hits"]), stored["groups"])


def interval(sample: Sample) -> list[float] | str:
    """95 % interval of the mean over the queries, or in words why there is none.

    Wilson's of a share of independent hits, else the percentile bootstrap's.
    """
    counted = ~np.isnan(sample.values)
    values, groups = sample.values[counted], _chosen(sample.groups, counted)
    if too_few := _too_few(values, groups):
        return too_few
    if sample.hits and groups is None:
        return [float(end) for end in wilson(values.sum(), len(values))]
    found = bootstrap(values, groups=groups)
    return [found.low, found.high]


@dataclass(frozen=True)
class Comparison:
    """Whether b is better than a, by queries that both were asked.

    ``difference``: mean of b - a, with its 95 % interval ``low``, ``high`` by the paired bootstrap;
    ``p``: two-sided, of ``test``; ``queries``: how many.
    """

    difference: float
    low: float
    high: float
    p: float
    test: str
    queries: int

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.p >= SIGNIFICANT:
            return "not distinguishable"
        return "better" if self.difference > 0 else "worse"


def compared(a: Sample, b: Sample) -> Comparison | str:
    """The test of two samples of the same queries, or in words why there is none.

    McNemar's, exact, of independent hits, else sign flips: all patterns of up to 14, else random
    ones.
    """
    if len(a.values) != len(b.values):
        return "not the same queries"
    counted = ~np.isnan(a.values) & ~np.isnan(b.values)
    if counted.sum() < max((~np.isnan(one.values)).sum() for one in (a, b)):
        return "not the same queries count"
    pair, groups = (b.values[counted], a.values[counted]), _chosen(a.groups, counted)
    if too_few := _too_few(pair[0], groups):
        return too_few
    found = paired_bootstrap(*pair, groups=groups)
    if a.hits and b.hits and groups is None:
        test, p = "McNemar", mcnemar(*pair)[2]
    elif _independent(pair[0], groups) <= EXACT_UP_TO:
        test, p = "permutation, exact", exact_permutation_test(*pair, groups=groups)
    else:
        test, p = "permutation", permutation_test(*pair, groups=groups)
    return Comparison(found.mean, found.low, found.high, p, test, int(counted.sum()))


def _chosen(groups, counted):
    return None if groups is None else np.array(groups)[counted]


def _independent(values, groups):
    return len(values) if groups is None else len(set(groups.tolist()))


def _too_few(values, groups):
    count = _independent(values, groups)
    if count > 1:
        return None
    return _NONE if not len(values) else _ONE if groups is None else "one group of queries alone"
