"""The scores of a sweep by metric, step, setting and seed."""

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence

from mdir.errors import UserError
from mdir.sweep.summary.cell_result import BETWEEN, CellResult, Value

_SEED = re.compile(r"(^|[._-])seeds?$")


class Grid:
    """All cells in their places.

    A setting is a tuple of labels, one for each of ``axes``; a seed is one for each of ``seeds``.

    Attributes:
        axes: name -> labels of its values in order, of axes that have several and are no seeds.
        fixed: name -> label, of axes that have one value.
        seeds: names of axes.
        cells: setting -> seed -> cell.
        columns: (metric, step) that some cell has a score of, metric by metric.
    """

    def __init__(
        self,
        cells: Sequence[CellResult],
        axes: Mapping[str, Sequence[Value]] | None,
        seeds: Collection[str] | None,
    ):
        values = {name: list(map(label, known)) for name, known in (axes or {}).items()}
        for cell in cells:
            for name, value in cell.axes.items():
                values.setdefault(name, []).append(label(value))
        values = {name: list(dict.fromkeys(known)) for name, known in values.items()}
        self.seeds = [name for name in values if is_seed(name, seeds)]
        others = {name: known for name, known in values.items() if name not in self.seeds}
        self.axes = {name: known for name, known in others.items() if len(known) > 1}
        self.fixed = {name: known[0] for name, known in others.items() if len(known) == 1}
        self.cells: dict[tuple, dict[tuple, CellResult]] = {}
        for cell in cells:
            setting, seed = self._labels(cell, self.axes), self._labels(cell, self.seeds)
            known = self.cells.setdefault(setting, {}).setdefault(seed, cell)
            if known is not cell:
                raise UserError(
                    f"sweep: cells {known.name} and {cell.name} have the same value of every axis"
                )
        found = [_parts(key) for cell in cells if cell.state == "done" for key in cell.scores]
        metrics = list(dict.fromkeys(metric for _, metric in found))
        steps = list(dict.fromkeys(step for step, _ in found))
        self.steps = steps
        known = set(found)
        self.columns = [(m, s) for m in metrics for s in steps if (s, m) in known]

    def scores(self, metric: str, step: str) -> dict[tuple, dict[tuple, float | None]]:
        """Setting -> seed -> score; None where there is none that counts."""
        return {
            setting: {seed: self.score(cell, metric, step) for seed, cell in cells.items()}
            for setting, cells in self.cells.items()
        }

    def score(self, cell: CellResult, metric: str, step: str) -> float | None:
        """The score of a cell, None where there is none that counts."""
        value = cell.scores.get(key_of(step, metric)) if cell.state == "done" else None
        return value if value is not None and math.isfinite(value) else None

    def _labels(self, cell, names):
        return tuple(label(cell.axes[name]) if name in cell.axes else "not set" for name in names)


def label(value: Value) -> str:
    """A value of an axis in a table."""
    return value if isinstance(value, str) else json.dumps(value)


def key_of(step: str, metric: str) -> str:
    """A score's name among those of a cell."""
    return f"{step}{BETWEEN}{metric}" if step else metric


def _parts(key):
    step, between, metric = key.partition(BETWEEN)
    return (step, metric) if between else ("", key)


def is_seed(name: str, seeds: Collection[str] | None) -> bool:
    """Whether the values of an axis stand for nothing but another draw."""
    return bool(_SEED.search(name)) if seeds is None else name in seeds
