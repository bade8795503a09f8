"""How sure scores are: intervals over queries, tests between rows, spread over seeds."""

import math

import numpy as np

from mdir.errors import UserError
from mdir.metric_names import Metric
from mdir.registry import unknown
from mdir.report.page import PageSection
from mdir.report.scores import MINUS, percent, points
from mdir.report.tables import Table

_INTERVALS = (
    "95 % intervals over the queries, in percent: of other queries of the same kind, with the same "
    "network. Shares of right queries have Wilson's, means the percentile bootstrap's, which draws "
    "whole groups of queries where these are told. What another seed would change is not in them."
)
_DIFFERENCES = (
    "Paired over the same queries, in points, with 95 % intervals by the bootstrap; p by McNemar's "
    "test of right and wrong queries, else by permutation of signs. From p = 0.05 on two rows are "
    "not distinguishable; of many tests one in twenty falls below by chance."
)
_SEEDS = (
    "Mean and standard deviation over runs with different seeds, in percent: what another seed "
    "changes. They are no intervals over queries."
)


def interval_text(ends) -> str:
    """``41.2 to 58.7`` in percent, or the words that stand for it."""
    return ends if isinstance(ends, str) else " to ".join(map(_signed, ends))


def _signed(end):
    return f"{MINUS if end < 0 else ''}{abs(100 * end):.1f}"


def interval_section(evaluations: dict[str, dict]) -> PageSection | None:
    """Scores with their intervals, where the metadata of an evaluation has them; None without any.

    Args:
        evaluations: row name -> metadata of a validate step.
    """
    lines = [
        [row, Metric.parse(name).title(), percent(metadata["eval"].get(name)), interval_text(ends)]
        for row, metadata in evaluations.items()
        for name, ends in metadata.get("intervals", {}).items()
    ]
    table = Table(["", "score", "value", "95 % interval"], lines)
    return PageSection("Intervals", _INTERVALS, table) if lines else None


def difference_section(found: dict[str, dict]) -> PageSection | None:
    """Paired tests; None without any.

    Args:
        found: name of a difference -> title of a score -> a comparison (``difference``, ``low``,
            ``high``, ``p``, ``test``, ``queries``, ``verdict``), or why there is none.
    """
    lines = [
        [name, title, *_cells(one)]
        for name, by_title in found.items()
        for title, one in by_title.items()
    ]
    columns = ["", "score", "difference", "95 % interval", "p", "test", "queries", "verdict"]
    return PageSection("Differences", _DIFFERENCES, Table(columns, lines)) if lines else None


def _cells(one):
    if isinstance(one, str):
        return ["", "", "", "", "", one]
    ends = interval_text([one.low, one.high])
    p = "< 0.001" if one.p < 0.001 else f"{one.p:.3f}"
    return [points(one.difference), ends, p, one.test, f"{one.queries:,}", one.verdict]


def mean_and_deviation(values) -> tuple[float, float | None]:
    """The mean and the sample's standard deviation, which one value alone has not."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def seed_means(values: dict[str, dict], seeds: dict[str, list[str]]) -> dict[str, dict]:
    """Name of several seeds -> column -> the mean over their rows that have it all.

    Args:
        values: row -> column -> value. seeds: name -> rows.
    """
    return {
        name: {
            column: float(np.mean(row_values))
            for column, row_values in _by_column(values, rows).items()
        }
        for name, rows in seeds.items()
    }


def seed_section(values: dict[str, dict], seeds: dict[str, list[str]]) -> PageSection | None:
    """Mean and spread over seeds; None without any. Arguments as of :func:`seed_means`."""
    lines = []
    for name, rows in seeds.items():
        for column, found in _by_column(values, rows).items():
            mean, deviation = mean_and_deviation(found)
            spread = "one seed alone" if deviation is None else percent(deviation)
            lines.append([name, column, percent(mean), spread, str(len(found))])
    columns = ["", "score", "mean", "standard deviation", "seeds"]
    return PageSection("Seeds", _SEEDS, Table(columns, lines)) if lines else None


def _by_column(values, rows):
    """Column -> its values in all rows, of columns that all have."""
    for row in rows:
        if row not in values:
            raise UserError(f"report: seeds: {unknown('row', row, values)}")
    found = {column: [values[row].get(column) for row in rows] for column in values[rows[0]]}
    return {
        column: row_values
        for column, row_values in found.items()
        if all(value is not None and not math.isnan(value) for value in row_values)
    }
