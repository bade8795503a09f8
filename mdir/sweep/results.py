"""The result of a sweep: its tables as text, Markdown and CSV, and its page."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mdir.artifacts import write_bytes
from mdir.errors import UserError
from mdir.report.page import PageSection, write_page
from mdir.report.tables import Table
from mdir.sweep.summary.cell_result import CellResult, Published, Value, scores_of
from mdir.sweep.summary.csv_files import write_csv_files
from mdir.sweep.summary.grid import Grid
from mdir.sweep.summary.plots import plot_sections
from mdir.sweep.summary.published import published_table
from mdir.sweep.summary.statistics import all_differences
from mdir.sweep.summary.tables import (
    PAIRED,
    axes_table,
    cells_table,
    columns_of,
    differences_table,
    missing_notes,
    origin_notes,
    settings_table,
)

__all__ = ["CellResult", "Published", "scores_of", "write_results"]
PAGE = "index.html"
LINES = 24  # of a table on a terminal


def write_results(
    cells: Sequence[CellResult],
    folder: Path,
    *,
    title: str = "Sweep",
    axes: Mapping[str, Sequence[Value]] | None = None,
    seeds: Collection[str] | None = None,
    differences: Sequence[tuple[str | None, Value, Value]] = (),
    published: Published | None = None,
) -> str:
    """Write the tables of a sweep and its page, ``index.html``.

    The tables are in ``results.txt`` and ``.md``; ``cells.csv``, ``scores.csv`` and
    ``differences.csv`` have all numbers unrounded.

    Args:
        cells: in the order of the sweep, those that failed or never ran among them.
        axes: their values in order; differences are from the first. Null: as the cells have them.
        seeds: the axes whose values stand for nothing but another draw; null: those whose names end
            with ``seed``.
        differences: ``(axis, from, to)``, of values that are compared besides; ``(None, from,
            to)``, of names of steps within every cell, without any the first with each other one.

    Returns:
        What is to be printed: the tables, long ones cut, and where the page lies.

    Raises:
        UserError: two cells have the same value of every axis.
    """
    grid = Grid(cells, axes, seeds)
    columns, found = columns_of(grid), list(all_differences(grid, differences))
    done = sum(cell.state == "done" for cell in cells)
    notes = [f"{done} of {len(cells)} cells are done.", *missing_notes(grid, columns, cells)]
    if grid.fixed:
        same = ", ".join(f"{name} {value}" for name, value in grid.fixed.items())
        notes.append(f"In all cells: {same}.")
    notes += origin_notes(cells)
    sections, by_setting = _sections(grid, columns, found, published)
    write_csv_files(folder, grid, cells, found)
    write_bytes(folder / "results.txt", _as_text(notes, sections).encode())
    write_bytes(folder / "results.md", _as_markdown(title, notes, sections).encode())
    page = folder / PAGE
    table = cells_table(grid, columns, cells, folder)
    shown = [*plot_sections(grid, columns, folder), *sections, *by_setting]
    shown.append(PageSection("Cells", table=table))
    write_page(page, title, shown, " ".join(notes))
    return _as_text(notes, map(_cut, sections)) + f"Page: {page}\n"


def _sections(grid, columns, found, published) -> tuple[list[PageSection], list[PageSection]]:
    """What is shown everywhere, and what is too much but for the page."""
    sections, by_setting = [], []
    if len(grid.axes) > 1 and grid.columns:
        sections.append(PageSection("Axis by axis", table=axes_table(grid, columns)))
    if grid.columns:
        sections.append(PageSection("Settings", table=settings_table(grid, columns)))
    means = {one.kind for one in found if one.setting is None and len(found) > LINES}
    shown, left = [], []
    for one in found:
        (left if one.setting is not None and one.kind in means else shown).append(one)
    if shown:
        table = differences_table(shown, columns, grid)
        text = f"{PAIRED} Each setting by itself: differences.csv, {PAGE}." if left else PAIRED
        sections.append(PageSection("Differences", text, table))
    if left:
        table = differences_table(left, columns, grid)
        by_setting.append(PageSection("Differences by setting", table=table))
    if published is not None:
        section = PageSection("Beside the published scores")
        sections.append(section)
        try:
            section.table = published_table(grid, published)
        except UserError as error:
            section.text = f"Not compared: {error}"
    return sections, by_setting


def _as_text(notes, sections):
    parts = ["\n".join(notes)]
    for one in sections:
        table = [one.table.as_text()] if one.table is not None else []
        parts.append("\n".join(filter(None, [one.title, *table, one.text])))
    return "\n\n".join(parts) + "\n"


def _as_markdown(title, notes, sections):
    parts = [f"# {title}", *notes]
    for one in sections:
        table = one.table.as_markdown() if one.table is not None else ""
        parts += [f"## {one.title}", *filter(None, [table, one.text])]
    return "\n\n".join(parts) + "\n"


def _cut(section):
    """A section whose table fits a terminal."""
    table = section.table
    if table is None or len(table.rows) <= LINES:
        return section
    rest = f"... and {len(table.rows) - LINES} lines more, in results.txt."
    cut = Table(table.columns, table.rows[:LINES], [rest, *table.notes])
    return replace(section, table=cut)
