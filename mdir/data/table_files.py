"""Tables of names in files: tsv, csv, pkl, h5 and lst, plain or packed (.gz, .xz)."""

import csv
import gzip
import io
import itertools
import json
import lzma
import os
import re
import sys
import time
from collections.abc import Iterable

from cirtorch.utils.errors import DataError
from cirtorch.utils.safe_pickle import load_pickle
from mdir.artifacts import used
from mdir.paths import local_file

_OPENERS = {".gz": gzip.open, ".xz": lzma.open}
_PAUSES = (1, 8, 27)
_FORMULA = re.compile(r"[=+\-@\t\r\n].", re.S)


def initialize_file_reader(
    path: str, slice: int = 0, partitions: int = 1, limit: int | None = None, keys=None
) -> "FileReader":
    """A reader for ``with ... as reader: columns = reader.get()``.

    Args:
        path: file by a scenario's rules; its suffix tells the format.
        slice, partitions: keep the rows whose number leaves ``slice`` when divided by
            ``partitions``.
        limit: look at so many rows only, kept or not; 0 and None: at all.
        keys: columns to give, in this order; all by default.

    Raises:
        DataError: unknown suffix, missing or unreadable file, missing column.
    """
    kind = os.path.splitext(re.sub(r"\.(gz|xz)$", "", path))[1]
    if kind not in _READERS:
        known = ", ".join(_READERS)
        raise DataError(f"{path}: unknown suffix {kind!r}. Allowed: {known}, also with .gz or .xz")
    return _READERS[kind](path, (slice, partitions, limit or None), keys)


def table(columns: list[str], rows: list[list]) -> bytes:
    """A table with a header line; lists are written as JSON, None as an empty cell."""

    def cell(value):
        if isinstance(value, list):
            return json.dumps(value, ensure_ascii=False)
        return "" if value is None else str(value)

    lines = ["\t".join(columns), *("\t".join(map(cell, row)) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def csv_text(rows: Iterable[Iterable]) -> str:
    """Rows as CSV; a text that a spreadsheet would run as a formula gets ``'`` before it."""
    lines = []
    for row in rows:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\r\n").writerow(map(_inert, row))  # quotes both inside
        lines.append(text.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines)


def _inert(cell):
    if not isinstance(cell, str) or not _FORMULA.match(cell):
        return cell
    try:
        float(cell)
    except ValueError:
        return "'" + cell
    return cell


class FileReader:
    """Reads one table; ``get()`` gives ``{column: list}`` in order."""

    def __init__(self, path, rows, keys):
        self.path = path
        self.rows = rows
        self.keys = keys

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def get(self) -> dict:
        columns = self._columns()
        for key in self.keys or ():
            if key not in columns:
                raise DataError(f"{self.path}: no column {key!r}; there are {', '.join(columns)}")
        return {key: columns[key] for key in self.keys or columns}

    def _kept(self, rows):
        first, partitions, limit = self.rows
        rows = enumerate(itertools.islice(rows, limit))
        return [row for number, row in rows if number % partitions == first]

    def _sliced(self, values):
        first, partitions, limit = self.rows
        return list(values[first:limit:partitions])

    def _columns(self):
        raise TypeError(f"{type(self).__name__} does not read anything")


class _TableReader(FileReader):
    """Header line and rows of texts, without quoting."""

    def _columns(self):
        separator = "\t" if "tsv" in os.path.basename(self.path).split(".") else ","
        lines = _lines(self.path)
        header = [name.strip() for name in next(lines, "").split(separator)]
        rows = self._kept(enumerate((line.split(separator) for line in lines), 1))
        wanted = set(header if self.keys is None else self.keys)
        doubled = [name for name in header if name in wanted and header.count(name) > 1]
        if doubled:
            raise DataError(f"{self.path}: the header names the column {doubled[0]!r} twice")
        for number, cells in rows:
            absent = [name for name in header[len(cells) :] if name in wanted]
            if absent:
                raise DataError(
                    f"{self.path}: row {number} has {len(cells)} cells, the header {len(header)}; "
                    f"it lacks {', '.join(absent)}"
                )
        warn_surplus(self.path, [number for number, cells in rows if len(cells) > len(header)])
        return {
            name: [_cell(cells[at]) if at < len(cells) else None for _, cells in rows]
            for at, name in enumerate(header)
        }


def warn_surplus(path, rows: list[int]) -> None:
    """Tell of rows (counted from 1) with more cells than the header, where there are any."""
    if rows:
        shown = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        print(
            f"Warning: {path}: rows with more cells than the header: {len(rows)} (row {shown}); "
            "the surplus is left out",
            file=sys.stderr,
        )


class _ListReader(FileReader):
    """One item a line; ``x[a|b].lst`` has the columns a and b of ``xa.lst`` and ``xb.lst``."""

    def _columns(self):
        match = re.search(r"\[([^]]*)\]", self.path)
        if not match:
            return {"item": [_cell(line) for line in self._kept(_lines(self.path))]}
        start, end = self.path[: match.start()], self.path[match.end() :]
        lists = {name: list(_lines(start + name + end)) for name in match[1].split("|")}
        lengths = {name: len(lines) for name, lines in lists.items()}
        if len(set(lengths.values())) > 1:
            counted = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise DataError(f"{self.path}: the lists are not equally long ({counted} lines)")
        return {name: [_cell(line) for line in self._kept(lines)] for name, lines in lists.items()}


class _PickleReader(FileReader):
    """A mapping of columns."""

    def _columns(self):
        content = load_pickle(_read(self.path))
        if not isinstance(content, dict):
            raise DataError(f"{self.path}: expected a mapping of columns")
        return {key: self._sliced(values) for key, values in content.items()}


class _Hdf5Reader(FileReader):
    """A dataset for each column that the attribute ``header`` names."""

    def _columns(self):
        try:
            import h5py
        except ImportError:
            raise DataError(f"{self.path}: needs the package h5py (pip install h5py)") from None
        place = local_file(self.path)
        used(place)
        with h5py.File(place, "r") as file:
            header = [_text(name) for name in file.attrs["header"]]
            return {name: [_text(v) for v in self._sliced(file[name])] for name in header}


_READERS = {
    ".tsv": _TableReader,
    ".csv": _TableReader,
    ".pkl": _PickleReader,
    ".h5": _Hdf5Reader,
    ".lst": _ListReader,
}


def _read(path) -> bytes:
    """All bytes of a file; a busy file system is asked again, a missing file is not."""
    place = local_file(path)
    used(place)
    opener = _OPENERS.get(os.path.splitext(place)[1], open)
    for pause in (*_PAUSES, None):
        try:
            with opener(place, "rb") as file:
                return file.read()
        except (FileNotFoundError, IsADirectoryError, PermissionError, EOFError) as error:
            raise DataError(f"{place}: {error.args[-1]}") from error
        except OSError as error:
            if pause is None or isinstance(error, gzip.BadGzipFile):
                raise DataError(f"{place}: cannot be read ({error})") from error
            time.sleep(pause)
    return b""


def _lines(path):
    try:
        lines = _read(path).decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not a text in UTF-8 ({error})") from error
    if lines[-1] == "":
        lines.pop()
    yield from (line.rstrip(" \r") for line in lines)


def _cell(text):
    if text == "":
        return None
    if (text[0], text[-1]) in (("[", "]"), ("{", "}")):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _text(value):
    return value.decode("utf-8") if isinstance(value, bytes) else value
