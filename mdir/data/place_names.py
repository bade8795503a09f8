"""Image names that tell positions, as the sets of visual place recognition share them.

``@east@north@zone number@zone letter@latitude@longitude@pano id@tile@heading@pitch@roll@height@
time stamp@note@.jpg``, of which east and north (UTM, metres) are needed alone
(gmberton/VPR-datasets-downloader, gmberton/VPR-methods-evaluation).
"""

import math
import os
import re

from cirtorch.utils.errors import DataError

FORM = "@east@north@...@.jpg with metres of UTM, such as @0554788.76@4180061.00@@@@@@@@@@@@@.jpg"
_COUNT = 16
_EAST, _NORTH, _ZONE, _LETTER, _NOTE = 1, 2, 3, 4, 14
_TIMESTAMP = re.compile(r"(\d{4}(\d\d(\d\d(_\d\d(\d\d(\d\d)?)?)?)?)?)?", re.ASCII)


def name_fields(path: str | os.PathLike) -> list[str]:
    """The fields of a name; of folders above it, ``@`` is no separator."""
    return os.path.basename(path).split("@")


def name_position(path: str | os.PathLike) -> tuple[float, float]:
    """East and north in metres.

    Raises:
        DataError: the name does not tell them.
    """
    fields = name_fields(path)
    try:
        east, north = float(fields[_EAST]), float(fields[_NORTH])
    except (IndexError, ValueError):
        east = north = math.nan
    if not (math.isfinite(east) and math.isfinite(north)):
        raise DataError(f"{path}: its name does not tell a position. Expected {FORM}")
    return east, north


def name_zone(path: str | os.PathLike) -> tuple[str, str] | None:
    """Number and letter of the UTM zone; None where the name does not tell both."""
    fields = name_fields(path)
    if len(fields) != _COUNT:
        return None
    number, letter = fields[_ZONE], fields[_LETTER]
    return (number, letter) if number.isdecimal() and letter.isalpha() else None


def name_note(path: str | os.PathLike) -> str:
    """The note; empty where the name has none."""
    fields = name_fields(path)
    return fields[_NOTE] if len(fields) == _COUNT else ""


def make_name(
    latitude: float,
    longitude: float,
    *,
    pano_id: str = "",
    tile: int | None = None,
    heading: float | None = None,
    pitch: float | None = None,
    timestamp: str = "",
    note: str = "",
    extension: str = ".jpg",
) -> str:
    """The name of an image.

    Args:
        latitude, longitude: in degrees; east and north are those of their own UTM zone.
        heading, pitch: in degrees, cut to whole ones, as ``tile`` is.
        timestamp: a beginning of ``YYYYMMDD_hhmmss`` that ends with a part of it.

    Raises:
        ValueError: a time stamp of another form, an ``@`` in a text, or no place of UTM.
    """
    import utm  # few names are written

    if not is_timestamp(timestamp):
        raise ValueError(f"time stamp {timestamp!r} is no beginning of YYYYMMDD_hhmmss")
    east, north, zone, letter = utm.from_latlon(latitude, longitude)
    texts = pano_id, note, extension
    if any("@" in text for text in texts):
        raise ValueError(f"'@' separates the fields of a name and cannot be in {texts}")
    fields = [
        padded(east, 7, 2),
        padded(north, 7, 2),
        f"{zone:02d}",
        letter,
        padded(latitude, 3, 5),
        padded(longitude, 4, 5),
        pano_id,
        *("" if value is None else f"{int(value):0{digits}d}"
          for value, digits in ((tile, 2), (heading, 3), (pitch, 3))),
        "",  # roll
        "",  # height
        timestamp,
        note,
        extension,
    ]  # fmt: skip
    return "@" + "@".join(fields)


def padded(value: float, left: int, right: int) -> str:
    """A number with ``right`` decimals, filled up with zeros; a sign counts as a ``left`` digit."""
    return f"{value:0{left + right + 1}.{right}f}"


def is_timestamp(text: str) -> bool:
    """Whether a text is empty or a beginning of ``YYYYMMDD_hhmmss`` that ends with a part."""
    return _TIMESTAMP.fullmatch(text) is not None
