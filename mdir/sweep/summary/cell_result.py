"""What one cell of a sweep gave."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from mdir.metric_names import Metric
from mdir.report.scores import measured_in

BETWEEN = " / "
Value = str | int | float


@dataclass(frozen=True)
class CellResult:
    """One cell: an ordinary run of the scenario with a value of each axis.

    Attributes:
        axes: name of an axis -> its value in this cell.
        scores: ``STEP / METRIC`` -> number, as :func:`scores_of` has them; of a cell that is not
            done they count nowhere.
        page, log: the cell's own page, and the file with all that it printed.
        origins: machines, with threads where their number was set, and commits of its steps.
    """

    name: str
    axes: Mapping[str, Value]
    state: Literal["done", "failed", "missing", "running"]
    scores: Mapping[str, float] = field(default_factory=dict)
    page: Path | None = None
    log: Path | None = None
    origins: frozenset[str] = frozenset()


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

    These are the average scores of a step; of one that has none, all its numbers.

    Raises:
        UserError: the metadata of a step has no such numbers.
    """
    found = {}
    for step, metadata in evaluations.items():
        measured = measured_in(metadata, f"sweep: the results of {step!r}")
        numbers = {name: one for name, one in measured.items() if isinstance(one, (int, float))}
        averages = [name for name in numbers if Metric.parse(name).is_average_score]
        found |= {f"{step}{BETWEEN}{name}": numbers[name] for name in averages or numbers}
    return found
