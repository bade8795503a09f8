"""Indexes of own images: a CSV file that says something of every one."""

import csv
from pathlib import Path

from mdir.data.table_files import warn_surplus
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
            given = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = given
            missing = [column for column in columns if column not in given]
            if missing:
                raise UserError(
                    f"{index}:1: missing column {', '.join(missing)}; the header must name "
                    f"{', '.join(columns)}, got {', '.join(given) or 'nothing'}"
                )
            rows, surplus = [], []
            for number, row in enumerate(reader, 1):
                cells = {name: (row[name] or "").strip() for name in given}
                rows.append((cells, f"{index}:{reader.line_num}"))
                if None in row:
                    surplus.append(number)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{index}: not a readable CSV file in UTF-8 ({error})") from error
    warn_surplus(index, surplus)
    if not rows:
        raise UserError(f"{index}: lists no {what}")
    return rows
