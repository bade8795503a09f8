"""Our numbers beside the published ones."""

from mdir.errors import UserError
from mdir.metric_names import Metric
from mdir.registry import unknown
from mdir.report.protocols import condition_text
from mdir.report.published_tables import PublishedTable
from mdir.report.scores import MINUS, measured_in
from mdir.report.tables import Table
from mdir.report.uncertainty import interval_text

COLUMNS = [
    "",
    "measure",
    "ours",
    "published",
    "difference",
    "our images",
    "their images",
    "our 95 % interval",
]


def compare_results(
    published: PublishedTable, results: dict[str, dict], protocols: dict[str, dict]
) -> Table:
    """A line for each row and measure that was evaluated; values in percent.

    Numbers that a remark of the table casts doubt on are not targets: they get a question mark and
    no difference.

    Args:
        results: published row name -> metadata of the step that evaluated it (``{"eval": {metric:
            value}}``, and its own ``protocol`` where the step tells it); of several runs their
            means, with ``spreads`` {metric: (standard deviation or None, count as text)}.
        protocols: row -> validation -> protocol of our evaluation (``dataset``, ``images``, ...),
            for others.

    Raises:
        UserError: a row is not in the table, or nothing in it was evaluated.
    """
    lines, conditions, elsewhere = [], [], []
    for row, metadata in results.items():
        if row not in published.rows:
            raise UserError(f"compare: {unknown('published row', row, published.rows)}")
        ours, own = measured_in(metadata, f"compare: results of {row!r}"), metadata.get("protocol")
        intervals, of_row = metadata.get("intervals", {}), protocols.get(row, {})
        spreads = metadata.get("spreads", {})
        conditions += [own] if own else of_row.values()
        found = []
        for measure, theirs in zip(published.measures, published.rows[row], strict=True):
            if measure.metric in ours:
                told = own or of_row.get(Metric.parse(measure.metric).label, {})
                if not own and told.get("dataset", measure.set) != measure.set:
                    elsewhere.append((told["dataset"], measure.set))
                value = 100 * ours[measure.metric]
                cells = _cells(value, theirs, doubtful=row in published.remarks)
                cells[0] += _spread(*spreads[measure.metric]) if measure.metric in spreads else ""
                ends = interval_text(intervals.get(measure.metric, ""))
                counts = [_count(told.get("images")), _count(measure.images)]
                found.append([row, measure.name, *cells, *counts, ends])
        if not found:
            wanted = ", ".join(measure.metric for measure in published.measures)
            raise UserError(f"compare: {row!r} has none of the published measures: {wanted}")
        lines += found
    table = Table(COLUMNS, lines)
    table.notes = _notes(published, lines, conditions, elsewhere)
    table.notes += [
        f"{row}: {published.remarks[row]}." for row in results if row in published.remarks
    ]
    return table


def _cells(ours, theirs, doubtful):
    """Our value, the published one, the difference."""
    if theirs is None:
        return [f"{ours:.1f}", "blank", ""]
    if doubtful:
        return [f"{ours:.1f}", f"{theirs:.1f} ?", ""]
    return [f"{ours:.1f}", f"{theirs:.1f}", _difference(round(ours, 1) - theirs)]


def _spread(deviation, count):
    """Behind a mean over runs."""
    return f" (n {count})" if deviation is None else f" ± {100 * deviation:.1f} (n {count})"


def _count(images):
    return f"{images:,}" if images else "unknown"


def _difference(points):
    sign = MINUS if points < -0.05 else "+" if points > 0.05 else ""
    return f"{sign}{abs(points):.1f}"


def _notes(published, lines, protocols, elsewhere):
    notes = [f"Source: {published.source}.", f"Published protocol: {published.protocol}."]
    for protocol in protocols:
        conditions = (
            f"{key.replace('_', ' ')} {condition_text(value)}"
            for key, value in protocol.items()
            if key != "dataset"
        )
        notes.append(f"Our protocol on {protocol['dataset']}: {', '.join(conditions)}.")
    notes += [
        f"Ours are of {ours}, the published ones of {theirs}: these are not the same test sets."
        for ours, theirs in elsewhere
    ]
    if any("unknown" not in (ours, theirs) and ours != theirs for *_, ours, theirs, _ in lines):
        notes.append("The numbers of images differ: these are not the same test sets.")
    return list(dict.fromkeys(notes))
