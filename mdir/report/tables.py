"""Tables as text, Markdown and CSV."""

from dataclasses import dataclass, field
from pathlib import Path

from mdir.artifacts import write_bytes
from mdir.data.table_files import csv_text


class Link(str):
    """A cell that leads to a file, on a page; ``target`` is its path from there."""

    def __new__(cls, text: str, target: str):
        link = super().__new__(cls, text)
        link.target = target
        return link


@dataclass
class Table:
    """Rows of texts under column names; the first column names the row.

    ``notes`` are sentences that belong below; ``strong`` holds the indices of rows to stress;
    ``words``: the cells are texts, not numbers.
    """

    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    strong: set[int] = field(default_factory=set)
    words: bool = False

    def as_text(self) -> str:
        """Aligned columns for a terminal."""
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        rule = "-" * (sum(widths) + 3 * (len(widths) - 1))

        def line(cells):
            padded = [cells[0].ljust(widths[0])]
            padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
            return "   ".join(padded).rstrip()

        return "\n".join([line(self.columns), rule, *map(line, self.rows), *self.notes])

    def as_markdown(self) -> str:
        """A Markdown table, the numbers to the right."""

        def line(cells):
            return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

        alignment = "|" + "---|" + "---:|" * (len(self.columns) - 1)
        parts = [line(self.columns), alignment, *map(line, self.rows)]
        return "\n".join([*parts, *(f"\n{note}" for note in self.notes)])

    def as_csv(self) -> str:
        """Comma separated, with a header line."""
        return csv_text([self.columns, *self.rows])


def write_table(table: Table, folder: Path, name: str) -> None:
    """Leave a table for the user as ``NAME.txt``, ``NAME.md`` and ``NAME.csv``."""
    forms = {"txt": table.as_text(), "md": table.as_markdown(), "csv": table.as_csv()}
    for suffix, text in forms.items():
        write_bytes(folder / f"{name}.{suffix}", (text.rstrip("\n") + "\n").encode())
