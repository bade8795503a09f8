"""Means over seeds, and differences that are paired by seed."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mdir.report.uncertainty import mean_and_deviation
from mdir.scores.measures.intervals import Interval, student
from mdir.sweep.summary.cell_result import Value
from mdir.sweep.summary.grid import Grid, label

PAIRS_OF_A_CLAIM = 3
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Sample:
    """Scores, or differences of scores, that there are out of ``planned`` ones."""

    values: tuple[float, ...]
    planned: int

    @property
    def mean(self) -> float | None:
        return mean_and_deviation(self.values)[0] if self.values else None

    @property
    def deviation(self) -> float | None:
        """The sample's standard deviation; None of less than two."""
        return mean_and_deviation(self.values)[1] if self.values else None

    @property
    def count(self) -> str:
        """``3``, or ``2/3``."""
        n = len(self.values)
        return str(n) if n == self.planned else f"{n}/{self.planned}"


@dataclass(frozen=True)
class Difference:
    """How much higher the scores of one value of an axis, or of one step, are than of another.

    Attributes:
        step: whose scores; None where it is steps that differ.
        axis: None where it is steps that differ.
        setting: name of an axis -> label, of all other axes; None: the mean over ``settings`` of
            them, seed by seed.
        sample: of differences, one a seed.
    """

    metric: str
    step: str | None
    axis: str | None
    before: str
    after: str
    setting: dict[str, str] | None
    settings: int
    sample: Sample

    @property
    def kind(self) -> tuple:
        """What is compared, in whatever setting."""
        return self.metric, self.step, self.axis, self.before, self.after

    @property
    def interval(self) -> Interval | None:
        """Student's 95 % interval of the mean; None where too few seeds, or none, make it vary."""
        values = self.sample.values
        if len(values) < PAIRS_OF_A_CLAIM or np.ptp(values) <= _ROUNDING:
            return None
        return student(values)

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if len(self.sample.values) < PAIRS_OF_A_CLAIM:
            return "too few to tell"
        if self.interval is None:
            return "the same in every pair"
        if self.interval.low <= 0 <= self.interval.high:
            return "not distinguishable"
        return "higher" if self.interval.mean > 0 else "lower"


def of_settings(grid: Grid, metric: str, step: str) -> dict[tuple, Sample]:
    """The scores of each setting over its seeds."""
    return {setting: _sample(seeds) for setting, seeds in grid.scores(metric, step).items()}


def of_axis(grid: Grid, metric: str, step: str, axis: str) -> dict[str, Sample]:
    """The scores of each value of an axis, over all other axes and seeds."""
    place, found = list(grid.axes).index(axis), {}
    for setting, seeds in grid.scores(metric, step).items():
        found.setdefault(setting[place], {}).update({(setting, s): v for s, v in seeds.items()})
    return {value: _sample(found[value]) for value in grid.axes[axis] if value in found}


def all_differences(
    grid: Grid, asked: Sequence[tuple[str | None, Value, Value]]
) -> Iterator[Difference]:
    """Every value of every axis against its first one, and steps against each other.

    Args:
        asked: ``(axis, from, to)``, further pairs of values of axes; ``(None, from, to)``, pairs of
            steps, without any every step against the first one.
    """
    pairs = [(before, after) for axis, before, after in asked if axis is None]
    if not pairs:
        pairs = [(grid.steps[0], other) for other in grid.steps[1:]]
    for metric in dict.fromkeys(metric for metric, _ in grid.columns):
        scores = {step: grid.scores(metric, step) for of, step in grid.columns if of == metric}
        for step, axis in itertools.product(scores, grid.axes):
            place, (first, *others) = list(grid.axes).index(axis), grid.axes[axis]
            names = [name for name in grid.axes if name != axis]
            of_axis = [(first, other) for other in others]
            of_axis += [(label(before), label(after)) for of, before, after in asked if of == axis]
            for before, after in dict.fromkeys(of_axis):
                both = [_where(scores[step], place, value) for value in (before, after)]
                for where in _paired(names, *both):
                    yield Difference(metric, step, axis, before, after, *where)
        for before, after in pairs:
            if before in scores and after in scores:
                for where in _paired(grid.axes, scores[before], scores[after]):
                    yield Difference(metric, None, None, before, after, *where)


def _where(scores, place, value):
    """The scores of the settings that have a value, which is left out of their names."""
    return {
        (*setting[:place], *setting[place + 1 :]): seeds
        for setting, seeds in scores.items()
        if setting[place] == value
    }


def _paired(names, before, after) -> Iterator[tuple[dict | None, int, Sample]]:
    """``(setting, settings, differences by seed)``; of several first their mean, seed by seed.

    A seed that lacks some of the settings is left out of that mean, which would be of other
    settings than those of the other seeds.
    """
    found = {}
    for setting in before:
        seeds = [seed for seed in before[setting] if seed in after.get(setting, ())]
        if seeds:
            pairs = {seed: (before[setting][seed], after[setting][seed]) for seed in seeds}
            found[setting] = {
                seed: None if None in pair else pair[1] - pair[0] for seed, pair in pairs.items()
            }
    if len(found) > 1:
        every = dict.fromkeys(seed for seeds in found.values() for seed in seeds)
        rows = {seed: [seeds.get(seed) for seeds in found.values()] for seed in every}
        means = {seed: None if None in row else float(np.mean(row)) for seed, row in rows.items()}
        yield None, len(found), _sample(means)
    for setting, seeds in found.items():
        yield dict(zip(names, setting, strict=True)), 1, _sample(seeds)


def _sample(scores) -> Sample:
    values = [value for value in scores.values() if value is not None]
    return Sample(tuple(values), len(scores))
