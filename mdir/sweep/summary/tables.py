"""The tables of a sweep: cells, means over seeds, differences."""

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mdir.metric_names import Metric
from mdir.report.scores import MINUS, percent, points
from mdir.report.tables import Link, Table
from mdir.report.uncertainty import interval_text
from mdir.sweep.summary.cell_result import CellResult
from mdir.sweep.summary.grid import Grid, key_of, label
from mdir.sweep.summary.statistics import PAIRS_OF_A_CLAIM, Difference, of_axis, of_settings

_ROUNDING = 1e-6  # of means in float32
NAMED = 12  # cells in one sentence
MEANS = "Means and standard deviations over n runs."
ALL_ELSE = "They are over all other axes, whose effect is in the deviation, too."
INCOMPLETE = "n 2/3: two of three, the third gave no number."
UNEQUAL = (
    "n differs: means of unequal n are of unlike cells and do not compare; the differences pair "
    "only what both have."
)
PAIRED = (
    "Of scores that agree in all other axes, paired by seed; n is the number of seeds. 95 % "
    "intervals are Student's, for differences that are about normal. Where one holds zero the two "
    f"are not distinguishable. Of less than {PAIRS_OF_A_CLAIM} seeds nothing is claimed; of many "
    "intervals one in twenty misses the truth by chance."
)


@dataclass(frozen=True)
class Column:
    """How the scores of a metric are told: averages of 0 to 1 in percent, others as they are."""

    metric: str
    values: tuple[float, ...]
    alone: bool

    @cached_property
    def in_percent(self) -> bool:
        average = Metric.parse(self.metric).is_average_score
        return average and all(abs(value) <= 1 + _ROUNDING for value in self.values)

    @property
    def title(self) -> str:
        """``night to day mAP, %``."""
        title = Metric.parse(self.metric).title() if self.alone else self.metric
        return f"{title}, %" if self.in_percent else title

    def value(self, value: float | None) -> str:
        """A score, or a standard deviation."""
        if value is None:
            return ""
        return percent(value) or str(value) if self.in_percent else f"{value:.5g}"

    def gain(self, value: float | None) -> str:
        """A difference, with its sign."""
        if value is None:
            return ""
        if self.in_percent:
            return points(value)
        return f"{'+' if value >= 0 else MINUS}{abs(value):.5g}"

    def interval(self, ends) -> str:
        """``1.2 to 3.4``."""
        if self.in_percent:
            return interval_text(ends)
        return " to ".join(f"{MINUS if end < 0 else ''}{abs(end):.5g}" for end in ends)


def columns_of(grid: Grid) -> dict[str, Column]:
    """Metric -> how it is told."""
    metrics = list(dict.fromkeys(metric for metric, _ in grid.columns))
    titles = Counter(Metric.parse(metric).title() for metric in metrics)
    found = {metric: [] for metric in metrics}
    for metric, step in grid.columns:
        for seeds in grid.scores(metric, step).values():
            found[metric] += [value for value in seeds.values() if value is not None]
    return {
        metric: Column(metric, tuple(values), titles[Metric.parse(metric).title()] == 1)
        for metric, values in found.items()
    }


def settings_table(grid: Grid, columns: dict[str, Column]) -> Table:
    """Every setting's scores over its seeds."""
    table = Table([*_heads(grid), *grid.axes, "mean", "standard deviation", "n"], [], [MEANS])
    groups = []
    for metric, step in grid.columns:
        samples, head = of_settings(grid, metric, step), _head(grid, columns[metric], step)
        table.rows += [
            [*head, *setting, *_means(sample, columns[metric])]
            for setting, sample in samples.items()
        ]
        groups.append(samples.values())
    table.notes += _counts(groups)
    return table


def axes_table(grid: Grid, columns: dict[str, Column]) -> Table:
    """Every value of every axis, over all other axes."""
    names = ["axis", "value", "mean", "standard deviation", "n"]
    table, groups = Table([*_heads(grid), *names], [], [f"{MEANS} {ALL_ELSE}"]), []
    for (metric, step), axis in itertools.product(grid.columns, grid.axes):
        samples, head = of_axis(grid, metric, step, axis), _head(grid, columns[metric], step)
        table.rows += [
            [*head, axis, value, *_means(sample, columns[metric])]
            for value, sample in samples.items()
        ]
        groups.append(samples.values())
    table.notes += _counts(groups)
    return table


def differences_table(found: Iterable[Difference], columns: dict[str, Column], grid: Grid) -> Table:
    """Each difference with its interval."""
    rows = []
    for one in found:
        column, sample = columns[one.metric], one.sample
        if one.setting is None:
            setting = f"mean of {one.settings} settings"
        else:
            setting = ", ".join(f"{name} {value}" for name, value in one.setting.items())
        difference = f"{one.after} {MINUS} {one.before}"
        rows.append(
            [
                *_head(grid, column, one.step or ""),
                difference if one.axis is None else f"{one.axis} {difference}",
                setting,
                column.gain(sample.mean),
                column.value(sample.deviation),
                column.interval(one.interval[1:3]) if one.interval else "",
                sample.count,
                one.verdict,
            ]
        )
    names = ["difference", "others", "mean", "standard deviation", "95 % interval", "n", "verdict"]
    names = [*_heads(grid), *names]
    filled = [at for at in range(len(names)) if any(row[at] for row in rows)]
    return Table([names[at] for at in filled], [[row[at] for at in filled] for row in rows])


def cells_table(grid: Grid, columns: dict[str, Column], cells: Sequence[CellResult], here: Path):
    """Every cell, which links its page, with its state, log and scores.

    Args:
        here: folder of the page.
    """
    names = [*grid.axes, *grid.seeds]
    titles = [_name(grid, columns[metric], step) for metric, step in grid.columns]
    rows = []
    for cell in cells:
        axes = [label(cell.axes[name]) if name in cell.axes else "" for name in names]
        name = _link(cell.name, cell.page, here) or cell.name
        scores = cell.scores if cell.state == "done" else {}
        told = [
            columns[metric].value(scores.get(key_of(step, metric))) for metric, step in grid.columns
        ]
        rows.append([name, cell.state, _link("log", cell.log, here), *axes, *told])
    return Table(["cell", "state", "log", *names, *titles], rows)


def missing_notes(grid: Grid, columns: dict[str, Column], cells: Sequence[CellResult]) -> list[str]:
    """Which cells, and which scores of others, are not in the numbers."""
    absent = [f"{cell.name} ({cell.state})" for cell in cells if cell.state != "done"]
    lacking, odd = [], []
    for cell in (cell for cell in cells if cell.state == "done"):
        for metric, step in grid.columns:
            value, name = cell.scores.get(key_of(step, metric)), _name(grid, columns[metric], step)
            if value is None:
                lacking.append(f"{cell.name} has no {name}")
            elif grid.score(cell, metric, step) is None:
                odd.append(f"{cell.name}: {name} is {value}")
    told = [(f"{len(absent)} of {len(cells)} cells", absent)]
    told += [(f"{len(each)} score{'s' * (len(each) > 1)}", each) for each in (lacking, odd)]
    return [f"Not in the numbers: {count}: {_some(names)}." for count, names in told if names]


def origin_notes(cells: Sequence[CellResult]) -> list[str]:
    """What made the numbers, and whether that differs from cell to cell."""
    counts = Counter(origin for cell in cells if cell.state == "done" for origin in cell.origins)
    if len(counts) < 2:
        return [f"Computed on {origin}." for origin in counts]
    found = _some([f"{origin} ({count} cells)" for origin, count in counts.items()])
    return [f"Machines, threads or commits differ, and so may last digits or more: {found}."]


def _some(names):
    rest = [f"and {len(names) - NAMED} others"] if len(names) > NAMED else []
    return ", ".join([*names[:NAMED], *rest])


def _name(grid, column, step):
    """A column of one step."""
    return f"{step} {column.title}" if len(grid.steps) > 1 else column.title


def _heads(grid):
    return ["score", "step"] if len(grid.steps) > 1 else ["score"]


def _head(grid, column, step):
    return [column.title, step] if len(grid.steps) > 1 else [column.title]


def _counts(groups):
    """What is to be said of samples, each group of which is there to be compared."""
    groups = [[(len(sample.values), sample.planned) for sample in group] for group in groups]
    notes = [INCOMPLETE] if any(n < planned for group in groups for n, planned in group) else []
    unequal = any(len({n for n, _ in group}) > 1 for group in groups)
    return [*notes, UNEQUAL] if unequal else notes


def _means(sample, column):
    alone = "one run alone" if len(sample.values) == 1 else column.value(sample.deviation)
    return [column.value(sample.mean) if sample.values else "none", alone, sample.count]


def _link(text, path, here):
    return Link(text, os.path.relpath(path, here)) if path is not None else ""
