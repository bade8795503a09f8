"""Indexes of own images: a CSV file that says something of every one."""

import csv
from pathlib import Path

from mdir.errors import UserError


def read_index(
    index: Path, columns: tuple[str, ...], what: str = "images"
) -> list[tuple[dict[str, str], str]]:
    """The rows of a CSV file (UTF-8, with or without a mark), each with its place ``file:line``.

    Cells are stripped, missing ones are empty.

    Raises:
        UserError: there is no such file, it is no CSV, lacks one of ``columns`` or has no row.
    """
    if not index.is_file():
        raise UserError(f"{index}: no such index of {what}")
    try:
        with open(index, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            given = reader.fieldnames or ()
            missing = [column for column in columns if column not in given]
            if missing:
                raise UserError(
                    f"{index}:1: missing column {', '.join(missing)}; the header must name "
                    f"{', '.join(columns)}, got {', '.join(given) or 'nothing'}"
                )
            rows = [
                ({name: (row[name] or "").strip() for name in given}, f"{index}:{reader.line_num}")
                for row in reader
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{index}: not a readable CSV file in UTF-8 ({error})") from error
    if not rows:
        raise UserError(f"{index}: lists no {what}")
    return rows
