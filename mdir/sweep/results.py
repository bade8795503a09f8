"""What the cells of a sweep gave, and the tables and the page of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from mdir.artifacts import write_bytes
from mdir.data.table_files import csv_text
from mdir.report.scores import measured_in

Value = str | int | float
_BETWEEN = " / "


@dataclass(frozen=True)
class CellResult:
    """One cell: an ordinary run of the scenario with a value of each axis.

    Attributes:
        axes: name of an axis -> its value in this cell.
        scores: ``STEP / METRIC`` -> number, as :func:`scores_of` has them; of a cell that is not
            done they count nowhere.
        page, log: the cell's own page, and the file with all that it printed.
    """

    name: str
    axes: Mapping[str, Value]
    state: Literal["done", "failed", "missing", "running"]
    scores: Mapping[str, float] = field(default_factory=dict)
    page: Path | None = None
    log: Path | None = None


class Published(NamedTuple):
    """Which settings of a sweep stand beside which rows of a published table.

    Attributes:
        table: its name, as of :func:`mdir.report.published_tables.load_table`.
        rows: row of the table -> the value of each axis that has several and, as ``step``, the name
            of the step where several are compared.
    """

    table: str
    rows: Mapping[str, Mapping[str, Value]]


def scores_of(evaluations: Mapping[str, dict]) -> dict[str, float]:
    """The scores of a cell: name of a step -> its metadata ``{"eval": {metric: value}}``.

    Raises:
        UserError: the metadata of a step has no such numbers.
    """
    return {
        f"{step}{_BETWEEN}{metric}": value
        for step, metadata in evaluations.items()
        for metric, value in measured_in(metadata, f"sweep: the results of {step!r}").items()
    }


def write_results(
    cells: Sequence[CellResult],
    folder: Path,
    *,
    title: str = "Sweep",
    seeds: Collection[str] | None = None,
    differences: Sequence[tuple[str, str]] = (),
    published: Published | None = None,
) -> str:
    """Write the tables of a sweep (``results.txt``, ``.md``, CSV) and its page ``index.html``.

    Args:
        cells: in the order of the sweep, those that failed or never ran among them.
        seeds: the axes whose values stand for nothing but another draw; null: those whose names end
            with ``seed``.
        differences: pairs (from, to) of names of steps; each is compared within every cell.

    Returns:
        What is to be printed: the tables, and where the page lies.
    """
    axes = list(dict.fromkeys(name for cell in cells for name in cell.axes))
    scores = list(dict.fromkeys(name for cell in cells for name in cell.scores))
    rows = [
        [cell.name, cell.state, *(cell.axes.get(name, "") for name in axes)]
        + [cell.scores.get(name, "") for name in scores]
        for cell in cells
    ]
    text = csv_text([["cell", "state", *axes, *scores], *rows])
    write_bytes(folder / "cells.csv", text.encode())
    return text
