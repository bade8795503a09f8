"""How sure the scores of a table are: what the steps report and compare share."""

from collections.abc import Iterator
from pathlib import Path

from mdir.paths import resolve_path
from mdir.registry import Problem, is_unresolved, unknown
from mdir.report.page import PageSection
from mdir.report.scores import MINUS, score_values
from mdir.report.tables import write_table
from mdir.report.uncertainty import difference_section, interval_section, seed_section
from mdir.scores.paired import compare_runs


def check_rows(given, rows, path: tuple) -> Iterator[Problem]:
    """What a list of names, or of lists of names, at ``path`` of a step's parameters mistakes.

    Args:
        rows: names that there are.
    """
    for place, each in enumerate(given if isinstance(given, (list, tuple)) else ()):
        here = (*path, place)
        if isinstance(each, str) and each not in rows and not is_unresolved(each):
            yield Problem(here, unknown("row", each, rows))
        yield from check_rows(each, rows, here)


def uncertainty_sections(
    scores: dict[str, dict], differences, rankings: dict[str, str], folder: Path, seeds=None
) -> list[PageSection]:
    """Intervals, paired tests and spreads over seeds, as far as they are known.

    They are printed and written as tables, too.

    Args:
        scores: row -> metadata of a validate step.
        differences: pairs of rows or names of ``seeds``.
        rankings: row -> folder of rankings. folder: of the tables.
        seeds: name -> rows; null: none.
    """
    members = {row: [row] for row in scores} | (seeds or {})
    found = {
        f"{after} {MINUS} {before}": _compared(members[before], members[after], rankings)
        for before, after in differences
    }
    sections = {
        "intervals": interval_section(scores),
        "differences": difference_section(found),
        "seeds": seed_section(score_values(scores), seeds or {}),
    }
    known = {name: section for name, section in sections.items() if section is not None}
    for name, section in known.items():
        write_table(section.table, folder, name)
        print(f"{section.table.as_text()}\n", flush=True)
    return list(known.values())


def _compared(before, after, rankings):
    """The tests of rows whose rankings are known; {} of others."""
    if any(row not in rankings for row in (*before, *after)):
        return {}
    folders = [[Path(resolve_path(rankings[row])) for row in rows] for rows in (before, after)]
    return compare_runs(*folders)
