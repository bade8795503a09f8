"""A table of evaluations, with the differences between them."""

import math
from pathlib import Path

from mdir.errors import UserError
from mdir.metric_names import Metric
from mdir.registry import unknown
from mdir.report.tables import Table

MINUS = "\N{MINUS SIGN}"


def measured_in(metadata, what: str) -> dict[str, float]:
    """``{metric: value}`` in the metadata of a validate step; ``what`` begins the UserError."""
    measured = metadata.get("eval") if isinstance(metadata, dict) else None
    if not isinstance(measured, dict):
        raise UserError(
            f"{what} must be the metadata of a validate step (a mapping with 'eval'), "
            f"got {metadata!r}"
        )
    return measured


def measured_labels(metadata: dict) -> set[str]:
    """The names of the rankings files that a validate step, or the step recall, left.

    Others in their folder are of other steps.
    """
    if "rankings" in metadata:
        return {Path(metadata["rankings"]).stem}
    return {Metric.parse(key).label for key in metadata.get("eval", ())}


def score_values(evaluations: dict[str, dict]) -> dict[str, dict[str, float]]:
    """Average scores of evaluations: ``{row: {column: value in 0..1}}``.

    Args:
        evaluations: row name -> metadata of a validate step
            (``{"eval": {"NAME/validation/score_avg:MEASURE": value}}``). The column is the title of
            the metric.
    """
    values = {}
    for row, metadata in evaluations.items():
        measured = measured_in(metadata, f"report: scores of {row!r}")
        metrics = ((Metric.parse(key), value) for key, value in measured.items())
        values[row] = {
            metric.title(): value for metric, value in metrics if metric.is_average_score
        }
    return values


def score_table(values: dict[str, dict[str, float]], differences=()) -> Table:
    """Scores in percent, one evaluation a row, then one row for each difference.

    Args:
        differences: pairs (from, to) of row names; the row says how many points ``to`` is above
            ``from``.
    """
    columns = list(dict.fromkeys(column for row in values.values() for column in row))
    rows = [
        [name, *(percent(row.get(column)) for column in columns)] for name, row in values.items()
    ]
    strong = set()
    for before, after in differences:
        for name in (before, after):
            if name not in values:
                raise UserError(f"report: differences: {unknown('row', name, values)}")
        strong.add(len(rows))
        gained = [_gained(values[before].get(c), values[after].get(c)) for c in columns]
        rows.append([f"{after} {MINUS} {before}", *gained])
    return Table(["", *columns], rows, strong=strong)


def percent(value: float | None) -> str:
    """``41.2``; nothing for a value that is not known."""
    return "" if value is None or math.isnan(value) else f"{100 * value:.1f}"


def points(difference: float) -> str:
    """``+1.3``, in percent."""
    return f"{'+' if difference >= 0 else MINUS}{abs(100 * difference):.1f}"


def _gained(before, after):
    if before is None or after is None or math.isnan(before) or math.isnan(after):
        return ""
    return points(after - before)
