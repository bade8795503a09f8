"""Where images were taken: in metres of UTM, by their names, a CSV file or EXIF."""

import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from cirtorch.utils.errors import DataError
from mdir.artifacts import used
from mdir.data.index_files import read_index
from mdir.data.place_names import name_position, name_zone
from mdir.errors import UserError

_SHOWN = 5
_METRES, _DEGREES = ("east", "north"), ("latitude", "longitude")
_NORTHERN = "N"  # the first letter of the bands above the equator


@dataclass(frozen=True)
class Position:
    """East and north in metres; ``zone``: such as ``33 north``, None where it is not told."""

    east: float
    north: float
    zone: str | None = None


def read_positions(source: str, root: Path, names: list[str]) -> np.ndarray:
    """The positions of images, float64 ``[N, 2]``: east and north in metres.

    Distances across a border of UTM zones are wrong; a warning tells of images of several zones.

    Args:
        source: ``names`` (see :mod:`mdir.data.place_names`), ``exif`` (GPS), or a CSV file with the
            columns ``file`` (below ``root``) and ``east``, ``north`` or ``latitude``,
            ``longitude``.
        root: the folder that ``names`` are relative to.

    Raises:
        DataError: images without a position; the message counts them and names the first ones.
        UserError: the CSV file is absent, or not of this form.
    """
    reader = position_reader(source, root)
    found, missing = [], []
    for name in names:
        try:
            found.append(reader(name))
        except DataError as error:
            missing.append(str(error))
    if missing:
        more = [f"and {len(missing) - _SHOWN} more"] if len(missing) > _SHOWN else []
        head = f"{root}: {len(missing)} of {len(names)} images have no position ({source}):"
        raise DataError("\n".join([head, *missing[:_SHOWN], *more]))
    zones = sorted({position.zone for position in found if position.zone})
    if len(zones) > 1:
        print(
            f"Warning: {root}: images of several UTM zones ({', '.join(zones)}); distances from "
            "one to another are wrong, and so are positives",
            file=sys.stderr,
        )
    return np.array([(one.east, one.north) for one in found], dtype=np.float64).reshape(-1, 2)


def position_reader(source: str, root: Path) -> Callable[[str], Position]:
    """The function of a name that gives its position or raises DataError.

    For arguments and UserError see :func:`read_positions`.
    """
    return _READERS[source](root) if source in _READERS else _of_table(Path(source))


def _of_names(_root) -> Callable[[str], Position]:
    def read(name):
        zone = name_zone(name)
        return Position(*name_position(name), zone and _zone(*zone))

    return read


def _of_exif(root) -> Callable[[str], Position]:
    def read(name):
        path = os.path.join(root, name)
        return _from_degrees(*gps_position(path), path)

    return read


_READERS = {"names": _of_names, "exif": _of_exif}


def _of_table(path) -> Callable[[str], Position]:
    used(path)
    rows, known = read_index(path, ("file",), "positions"), {}
    columns = next((pair for pair in (_METRES, _DEGREES) if set(pair) <= set(rows[0][0])), None)
    if columns is None:
        raise UserError(
            f"{path}:1: the header must name file and either east, north or latitude, longitude; "
            f"got {', '.join(rows[0][0])}"
        )
    for row, where in rows:
        name = os.path.normpath(row["file"])
        if name in known:
            raise UserError(f"{where}: {row['file']} stands twice in it")
        known[name] = row, where

    def read(name):
        if os.path.normpath(name) not in known:
            raise DataError(f"{name}: is not in {path}")
        row, where = known[os.path.normpath(name)]
        numbers = [_number(row[column], f"{where}: {column} of {name}") for column in columns]
        return Position(*numbers) if columns is _METRES else _from_degrees(*numbers, where)

    return read


def _number(text, what):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{what} is {text!r}, not a number")
    return value


def _from_degrees(latitude, longitude, where):
    import utm  # needed for degrees alone

    try:
        east, north, zone, letter = utm.from_latlon(latitude, longitude)
    except utm.OutOfRangeError as error:
        raise DataError(f"{where}: latitude {latitude}, longitude {longitude}: {error}") from None
    return Position(east, north, _zone(zone, letter))


def _zone(number, letter):
    return f"{int(number):02d} {'north' if letter.upper() >= _NORTHERN else 'south'}"


def gps_position(path) -> tuple[float, float]:
    """Latitude and longitude in degrees, as the EXIF data of an image tell; DataError: or not."""
    try:
        with Image.open(path) as image:
            gps = image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image ({error})") from None
    try:
        latitude = _degrees(gps[ExifTags.GPS.GPSLatitude], gps[ExifTags.GPS.GPSLatitudeRef], "NS")
        longitude = _degrees(
            gps[ExifTags.GPS.GPSLongitude], gps[ExifTags.GPS.GPSLongitudeRef], "EW"
        )
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError):
        raise DataError(f"{path}: its EXIF data tell no GPS position") from None
    if latitude == longitude == 0:
        raise DataError(f"{path}: its EXIF data tell a GPS position of 0, 0, which none is")
    return latitude, longitude


def _degrees(parts, side, sides):
    """Degrees of degrees, minutes and seconds; negative on the second of two sides."""
    degrees = sum(float(part) / 60**power for power, part in enumerate(parts))
    side = side.strip(" \0").upper()
    if not math.isfinite(degrees) or side not in (*sides,):
        raise ValueError(parts, side)
    return -degrees if side == sides[1] else degrees
