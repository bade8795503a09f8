"""Recalls of place recognition: a table of the conditions of queries."""

from mdir.report.page import PageSection
from mdir.report.protocols import in_a_line
from mdir.report.tables import Table
from mdir.report.uncertainty import interval_text

_TEXT = (
    "Queries, in percent, with an image of their place among the first N. A query without any such "
    "image in the database counts as a failure; in brackets, it is left out. Behind each recall is "
    "the 95 % interval over all these queries: Wilson's, and the percentile bootstrap's of a mean "
    "over conditions or of queries in groups."
)


def places_section(rankings: dict[str, dict]) -> PageSection | None:
    """A table of all rankings by the score ``place_recall``, a line for each condition.

    Args:
        rankings: name -> what :func:`mdir.report.galleries.read_rankings` gives.
    """
    read = {name: one["places"] for name, one in rankings.items() if "places" in one}
    if not read:
        return None
    values = sorted({n for one in read.values() for n in one["values"]})
    lines = [
        [f"{name}: {condition}", *_counts(row), *_shares(values, one["values"], row, ends)]
        for name, one in read.items()
        for condition, row in one["recalls"].items()
        for ends in [_intervals(rankings[name], condition)]
    ]
    recalls = [column for n in values for column in (f"R@{n}", "95 %")]
    columns = ["", "queries", "without a positive", *recalls]
    notes = [f"{name} \N{EM DASH} {in_a_line(rankings[name]['protocol'])}." for name in read]
    return PageSection("Places", _TEXT, Table(columns, lines, notes))


def _intervals(ranking, condition):
    """N -> the ends of the interval of a condition's recall, or words; older files have none."""
    ending = "" if condition == "all" else f"_{condition}"
    ending += "_reranked" if "re-ranking" in ranking["protocol"] else ""
    known = ranking.get("intervals", {})
    return {n: known.get(f"recall@{n}{ending}", "") for n in ranking["places"]["values"]}


def _counts(row):
    return [f"{row['queries']:,}", f"{row['without_positives']:,}"]


def _shares(values, own, row, ends):
    """A recall, both where they differ, and its interval for each N."""
    shares = dict(zip(own, zip(row["recalls"], row["with_positives"], strict=True), strict=True))
    for n in values:
        if n not in shares:
            yield from ("", "")
            continue
        every, some = (f"{100 * share:.1f}" for share in shares[n])
        yield every if not row["without_positives"] else f"{every} ({some})"
        yield interval_text(ends[n])
