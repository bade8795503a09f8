"""Step: our numbers beside a published table."""

from pathlib import Path
from typing import Annotated

from mdir.artifacts import produced, steps_before
from mdir.paths import resolve_path
from mdir.registry import Check, Problem, is_unresolved, unknown
from mdir.report.comparison import compare_results
from mdir.report.cost import cost_section, read_costs
from mdir.report.page import PageSection, write_page
from mdir.report.protocols import read_protocols
from mdir.report.published_tables import load_table
from mdir.report.scores import measured_labels
from mdir.report.sections.origin import origin_sections
from mdir.report.tables import write_table
from mdir.stages.step import step
from mdir.stages.uncertainty import check_rows, uncertainty_sections


def _check(params):
    """Rows that the published table has not, and rows that are not in ``results``."""
    results = params.get("results")
    if not isinstance(results, dict) or is_unresolved(params.get("table")):
        return
    try:
        rows = load_table(params.get("table")).rows
    except ValueError:
        return  # the table itself is the mistake
    for row in results:
        if not is_unresolved(row) and row not in rows:
            yield Problem(("results", row), unknown("published row", row, rows))
    if any(map(is_unresolved, results)):
        return
    yield from check_rows(params.get("differences"), results, ("differences",))
    rankings = params.get("rankings")
    for row in rankings if isinstance(rankings, dict) else ():
        if not is_unresolved(row) and row not in results:
            yield Problem(("rankings", row), unknown("row", row, results, rankings))


@step(check=_check)
def compare(
    _inputs,
    *,
    table: Annotated[str, Check(load_table)],
    results: dict[str, dict],
    directory: str,
    rankings: str | dict[str, str] | None = None,
    differences: list[tuple[str, str]] | None = None,
):
    """Print and write a table of our scores, the published ones and the differences.

    Args:
        table: name of a published table (a file of ``mdir/report/published``).
        results: row of that table -> metadata of a step validate or recall.
        directory: receives ``comparison.txt``, ``.md``, ``.csv`` and ``index.html``; relative to
            CIRTORCH_ROOT.
        rankings: the validate step's folder of rankings, or row -> folder, which tell our protocol
            and numbers of images (recall's metadata tell them themselves); null: these stay
            unknown.
        differences: pairs of rows to be tested query by query, where ``rankings`` are by row.

    Returns:
        Metadata: ``page`` and ``table`` (as text).
    """
    published, folder = load_table(table), Path(resolve_path(directory))
    by_row = isinstance(rankings, dict)
    places = rankings if by_row else dict.fromkeys(results, rankings)
    folders = {row: Path(resolve_path(places[row])) for row in results if places.get(row)}
    labels = {row: measured_labels(results[row]) for row in folders}
    protocols = {row: _protocols(place, labels[row]) for row, place in folders.items()}
    comparison = compare_results(published, results, protocols)
    write_table(comparison, folder, "comparison")
    page = folder / "index.html"
    sections = [PageSection("Our scores and the published ones", published.title, comparison)]
    print(f"\n{comparison.as_text()}\n", flush=True)
    sections += uncertainty_sections(results, differences or [], places if by_row else {}, folder)
    # not in the table, which stays the same from run to run
    costs = {row: read_costs(place, labels[row]) for row, place in folders.items()}
    if not by_row:  # of one folder
        found = {label: cost for one in costs.values() for label, cost in one.items()}
        costs = {", ".join(costs): found}
    if cost := cost_section(costs):
        sections.append(cost)
        print(f"{cost.table.as_text()}\n")
    sections += origin_sections(steps_before())
    write_page(page, f"Comparison with {table}", sections)
    produced(page)
    print(f"Comparison: {page}", flush=True)
    return {"page": str(page), "table": comparison.as_text()}


def _protocols(rankings: Path, labels: set[str]) -> dict[str, dict]:
    """Validation -> protocol, from the rankings files of a folder."""
    protocols = read_protocols(rankings, labels).items()
    # scores of generators have no test set
    return {label: protocol for label, protocol in protocols if "dataset" in protocol}
