"""Our numbers beside the published ones."""

from mdir.errors import UserError
from mdir.registry import unknown
from mdir.report.protocols import in_words
from mdir.report.published_tables import PublishedTable
from mdir.report.scores import MINUS
from mdir.report.tables import Table

COLUMNS = ["", "measure", "ours", "published", "difference", "our images", "their images"]


def compare_results(
    published: PublishedTable, results: dict[str, dict], protocols: dict[str, dict]
) -> Table:
    """A line for each row and measure that was evaluated; values in percent.

    Args:
        results: published row name -> metadata of a validate step (``{"eval": {metric: value}}``).
        protocols: test set -> protocol of our evaluation, where known (``images``, ...).

    Raises:
        UserError: a row is not in the table, or nothing in it was evaluated.
    """
    lines = []
    for row, metadata in results.items():
        if row not in published.rows:
            raise UserError(f"compare: {unknown('published row', row, published.rows)}")
        ours = _evaluated(row, metadata)
        theirs = zip(published.measures, published.rows[row], strict=True)
        found = [
            _line(row, measure, 100 * ours[measure.metric], value, protocols.get(measure.set, {}))
            for measure, value in theirs
            if measure.metric in ours
        ]
        if not found:
            wanted = ", ".join(measure.metric for measure in published.measures)
            raise UserError(f"compare: {row!r} has none of the published measures: {wanted}")
        lines += found
    table = Table(COLUMNS, lines)
    table.notes = _notes(published, lines, protocols)
    table.notes += [
        f"{row}: {published.remarks[row]}." for row in results if row in published.remarks
    ]
    return table


def _evaluated(row, metadata):
    measured = metadata.get("eval") if isinstance(metadata, dict) else None
    if not isinstance(measured, dict):
        raise UserError(
            f"compare: results of {row!r} must be the metadata of a validate step "
            f"(a mapping with 'eval'), got {metadata!r}"
        )
    return measured


def _line(row, measure, ours, theirs, protocol):
    images = protocol.get("images")
    return [
        row,
        measure.name,
        f"{ours:.1f}",
        "blank" if theirs is None else f"{theirs:.1f}",
        "" if theirs is None else _difference(round(ours, 1) - theirs),
        f"{images:,}" if images else "unknown",
        f"{measure.images:,}",
    ]


def _difference(points):
    sign = MINUS if points < -0.05 else "+" if points > 0.05 else ""
    return f"{sign}{abs(points):.1f}"


def _notes(published, lines, protocols):
    notes = [f"Source: {published.source}.", f"Published protocol: {published.protocol}."]
    for name, protocol in protocols.items():
        conditions = (
            f"{key.replace('_', ' ')} {in_words(value)}"
            for key, value in protocol.items()
            if key != "dataset"
        )
        notes.append(f"Our protocol on {name}: {', '.join(conditions)}.")
    if any(ours not in ("unknown", theirs) for *_, ours, theirs in lines):
        notes.append("The numbers of images differ: these are not the same test sets.")
    return notes
