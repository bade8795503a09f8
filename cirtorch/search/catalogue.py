"""What an index holds, in a SQLite file: its images, the files of their rows, and what it is.

A change is a transaction: a process that is killed leaves the state of before, and others read on
while one writes.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cirtorch.search.payload import COLUMNS, Condition, require_column
from cirtorch.utils.errors import DamagedFile, DataError

FILE = "index.sqlite"
_WAIT = 60  # seconds for another writer
_FILTERS_KEPT = 16
_SCHEMA = f"""
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE parts (first INTEGER PRIMARY KEY, rows INTEGER NOT NULL, file TEXT NOT NULL,
    source TEXT, fingerprint TEXT);
CREATE TABLE images (id INTEGER PRIMARY KEY, removed INTEGER NOT NULL DEFAULT 0,
    {", ".join(column + (" REAL" if column.endswith("itude") else "") for column in COLUMNS)});
CREATE UNIQUE INDEX by_path ON images (path) WHERE NOT removed;
"""


class Part(NamedTuple):
    """A file of rows, whose first has the id ``first``.

    ``file`` is relative to the folder of the index, ``source`` tells where it comes from;
    ``fingerprint``: JSON, None of a file of the index itself.
    """

    first: int
    rows: int
    file: str
    source: str | None
    fingerprint: str | None


class Catalogue:
    """The file ``index.sqlite`` of a folder; one object serves many threads.

    Args:
        folder: of the index. create: make folder and file where there are none.

    Raises:
        DataError: there is none. DamagedFile: it is cut short or something else.
    """

    def __init__(self, folder, create=False):
        self.path = Path(folder) / FILE
        if create:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        elif not self.path.exists():
            raise DataError(f"{folder}: holds no index ({FILE}); the step index makes one")
        self._lock = threading.RLock()
        self._masks: dict[tuple, np.ndarray] = {}
        self._version = None
        with self._told():
            self._db = sqlite3.connect(
                self.path, timeout=_WAIT, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA trusted_schema = OFF")
            tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_schema")}
            if not tables and create:
                self._db.executescript(f"BEGIN;{_SCHEMA}COMMIT;")
            elif not {"about", "parts", "images"} <= tables:
                raise sqlite3.DatabaseError("it holds no index")

    def close(self):
        self._db.close()

    @contextmanager
    def _told(self):
        with self._lock:
            try:
                yield
            except sqlite3.OperationalError as error:
                hint = "; another process writes it" if "locked" in str(error) else ""
                raise DataError(f"{self.path}: {error}{hint}") from error
            except sqlite3.Error as error:
                raise DamagedFile(f"{self.path}: is damaged ({error}); make it again") from error

    @contextmanager
    def writing(self):
        """A transaction: all that is written in the block, or nothing."""
        with self._told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
            self._masks.clear()

    def version(self):
        """Changes whenever another process, or this one, has changed something."""
        with self._told():
            (others,) = self._db.execute("PRAGMA data_version").fetchone()
            version = others, self._db.total_changes
            if version != self._version:
                self._masks.clear()
                self._version = version
            return version

    def get(self, key, default=None):
        """A value of what is told of the index."""
        rows = self._all("SELECT value FROM about WHERE key = ?", key)
        return json.loads(rows[0][0]) if rows else default

    def put(self, **values):
        """Tell something of the index; inside ``writing``."""
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        self._db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", rows)

    def parts(self) -> list[Part]:
        """The files of rows, in their order."""
        rows = self._all("SELECT first, rows, file, source, fingerprint FROM parts ORDER BY first")
        return [Part(*row) for row in rows]

    def put_part(self, first, rows, file, source=None, fingerprint=None):
        """A new part, or more rows of one; inside ``writing``."""
        values = (first, rows, file, source, fingerprint)
        self._db.execute("INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?)", values)

    def rows(self) -> int:
        """Of all files, removed images too."""
        return self._all("SELECT coalesce(max(first + rows), 0) FROM parts")[0][0]

    def put_images(self, first, payloads: Iterable[dict]):
        """Images with their ids from ``first``; inside ``writing``.

        Raises:
            DataError: an image of the same path is there, or comes twice.
        """
        marks = ", ".join("?" * (1 + len(COLUMNS)))
        command = f"INSERT INTO images (id, {', '.join(COLUMNS)}) VALUES ({marks})"
        for number, payload in enumerate(payloads, first):
            values = {**payload, "path": os.fsencode(payload["path"])}
            try:
                self._db.execute(command, (number, *(values[column] for column in COLUMNS)))
            except sqlite3.IntegrityError:
                raise DataError(
                    f"index: holds {payload['path']} already; remove it first to describe it anew"
                ) from None

    def find(self, path) -> int | None:
        """The id of an image by its path; None where there is none."""
        command = "SELECT id FROM images WHERE path = ? AND NOT removed"
        rows = self._all(command, os.fsencode(path))
        return rows[0][0] if rows else None

    def remove(self, ids) -> int:
        """Mark images as removed; inside ``writing``. How many of them were there."""
        command = "UPDATE images SET removed = 1 WHERE id = ? AND NOT removed"
        return sum(self._db.execute(command, (int(number),)).rowcount for number in ids)

    def payload(self, ids) -> list[dict | None]:
        """The columns of images; None for an id that there is not, or no longer."""
        command = f"SELECT {', '.join(COLUMNS)} FROM images WHERE id = ? AND NOT removed"
        found = [self._all(command, int(number)) for number in ids]
        return [dict(zip(COLUMNS, _read(rows[0]), strict=True)) if rows else None for rows in found]

    def paths(self):
        """Yield ``(id, path)`` of all images in the order of ids."""
        last = -1
        command = "SELECT id, path FROM images WHERE id > ? AND NOT removed ORDER BY id LIMIT 10000"
        while rows := self._all(command, last):
            yield from ((number, os.fsdecode(path)) for number, path in rows)
            last = rows[-1][0]

    def count(self) -> int:
        """Images that are there."""
        return len(self.allowed(()))

    def values(self, column) -> list:
        """What the images of the index tell in a column, each value once, sorted."""
        require_column(column)
        command = f"SELECT DISTINCT {column} FROM images WHERE NOT removed AND {column} NOTNULL"
        return [value for (value,) in self._all(f"{command} ORDER BY {column}")]

    def allowed(self, conditions: tuple[Condition, ...]) -> np.ndarray:
        """Ids int64, ascending, of the images that meet all conditions."""
        with self._told():
            self.version()
            if conditions not in self._masks:
                while len(self._masks) >= _FILTERS_KEPT:
                    self._masks.pop(next(iter(self._masks)))
                parts = [_sql(condition) for condition in conditions]
                tests = " AND ".join(["NOT removed", *(text for text, _ in parts)])
                values = [value for _, given in parts for value in given]
                found = self._db.execute(f"SELECT id FROM images WHERE {tests} ORDER BY id", values)
                self._masks[conditions] = np.fromiter((one for (one,) in found), dtype=np.int64)
            return self._masks[conditions]

    def _all(self, command, *values):
        with self._told():
            return self._db.execute(command, values).fetchall()


def _read(row):
    return [os.fsdecode(value) if isinstance(value, bytes) else value for value in row]


def _sql(condition):
    """The test of a condition and its values; columns are those of ``COLUMNS`` alone."""
    column, kind, values = condition
    if kind == "range":
        ends = [(op, end) for op, end in zip((">=", "<="), values, strict=True) if end is not None]
        tests = [f"{column} NOTNULL", *(f"{column} {op} ?" for op, _ in ends)]
        return " AND ".join(tests), [end for _, end in ends]
    if column == "path":
        values = map(os.fsencode, values)
    marks = ", ".join("?" * len(condition.values))
    if kind == "in":
        return f"{column} IN ({marks})", [*values]
    return f"({column} IS NULL OR {column} NOT IN ({marks}))", [*values]
