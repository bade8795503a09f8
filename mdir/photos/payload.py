"""What an index keeps of an image beside its descriptor: by a table, else by EXIF."""

import os
from datetime import datetime
from pathlib import Path

from PIL import ExifTags, Image

from cirtorch.search.payload import COLUMNS, checked_payload
from cirtorch.utils.errors import DataError
from mdir.data.index_files import read_index
from mdir.data.positions import gps_position
from mdir.errors import UserError

_OTHER_NAMES = {"landmark": "place"}
_TAKEN = (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTime)


def read_table(path: Path) -> dict[str, dict]:
    """Payloads by the absolute path of the image.

    Args:
        path: a CSV file with the column ``path`` (relative to the file's folder, or absolute) and
            any of ``condition``, ``place`` (or ``landmark``), ``date`` (``YYYY-MM-DD``, with
            ``hh:mm:ss`` or without), ``latitude`` and ``longitude`` (degrees); others are not read.

    Raises:
        UserError: there is no such table, none of these columns in it, an image stands twice in it,
            or a value is none that its column takes.
    """
    rows, found = read_index(path, ("path",)), {}
    named = {name: _OTHER_NAMES.get(name, name) for name in rows[0][0]}
    known = {name: column for name, column in named.items() if column in COLUMNS}
    if len(known) < 2 or len(set(known.values())) < len(known):
        raise UserError(
            f"{path}:1: the header must name path and some of {', '.join(COLUMNS[1:])}, each once; "
            f"got {', '.join(rows[0][0])}"
        )
    for row, where in rows:
        image = os.path.abspath(path.parent / row["path"])
        if image in found:
            raise UserError(f"{where}: {row['path']} stands twice in it")
        told = {column: row[name] for name, column in known.items()} | {"path": image}
        try:
            found[image] = checked_payload(told)
        except DataError as error:
            raise UserError(f"{where}: {error}") from error
    return found


def exif_payload(path: str) -> dict:
    """``date``, ``latitude`` and ``longitude``, as far as the EXIF data of an image tell them."""
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            tags = {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}
    except Exception:  # a damaged header makes the parser stumble in many ways
        return {}
    found = {"date": next(filter(None, map(_date, map(tags.get, _TAKEN))), None)}
    try:
        found["latitude"], found["longitude"] = gps_position(path)
        return checked_payload(found | {"path": path})
    except DataError:
        return {"date": found["date"]}


def _date(text):
    """Of ``2015:06:30 12:00:00``; None where a camera without a clock wrote something else."""
    try:
        return datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S").isoformat()
    except ValueError:
        return None
