"""What is known of an image of an index beside its descriptor, and filters by it.

A filter is a mapping of columns to what their values must be; all of them must hold:

    {"condition": "night"}                      equal
    {"condition": ["dusk", "night"]}            one of these
    {"condition": {"not": "night"}}             not equal, none of: images that do not tell count
    {"date": {"from": "2015-06-01", "to": "2015-06-30"}}    both ends included, each may be left out
    {"latitude": {"from": 50, "to": 50.1}}      degrees likewise
    {"date": "2015-06-30"}                      at any time of that day
"""

import datetime
import math
from typing import NamedTuple

from cirtorch.utils.errors import DataError, suggest

_TEXTS = ("path", "condition", "place")
_BOUNDS = {"latitude": 90, "longitude": 180}
COLUMNS = (*_TEXTS, "date", *_BOUNDS)
_LAST_SECOND = "T23:59:59"
_MOST_VALUES = 1000


class Condition(NamedTuple):
    """``kind``: ``in`` or ``not in`` with ``values``, or ``range`` with two ends (None: open)."""

    column: str
    kind: str
    values: tuple


def checked_payload(payload) -> dict:
    """The columns of one image, all of them, None where nothing is told.

    Args:
        payload: mapping with ``path`` and any other columns; None and empty texts tell nothing.

    Raises:
        DataError: an unknown column, no path, or a value that its column does not take.
    """
    for column in payload:
        require_column(column)
    values = {column: payload.get(column) for column in COLUMNS}
    told = {c: None if v is None or v == "" else _value(c, v) for c, v in values.items()}
    if told["path"] is None:
        raise DataError(f"index: an image without a path: {payload}")
    return told


def parse_filter(where) -> tuple[Condition, ...]:
    """The conditions of a filter; None and ``{}`` have none.

    Raises:
        DataError: an unknown column, or something else than the forms of this module.
    """
    if where is None:
        return ()
    if not isinstance(where, dict):
        raise DataError(f"filter: expected a mapping of columns to values, got {where!r}")
    return tuple(_condition(column, wanted) for column, wanted in where.items())


def _condition(column, wanted):
    require_column(column)
    if column in _TEXTS:
        if isinstance(wanted, dict) and set(wanted) == {"not"}:
            return Condition(column, "not in", _values(column, wanted["not"]))
        if isinstance(wanted, dict):
            raise DataError(f"filter: {column} takes a value, several, or {{not: ...}}; {wanted!r}")
        return Condition(column, "in", _values(column, wanted))
    if not isinstance(wanted, dict):
        return _range(column, wanted, wanted)
    if not wanted or not set(wanted) <= {"from", "to"}:
        raise DataError(f"filter: {column} takes a value or {{from: ..., to: ...}}, got {wanted!r}")
    return _range(column, wanted.get("from"), wanted.get("to"))


def _range(column, *ends):
    first, last = (None if end is None else _value(column, end) for end in ends)
    if column == "date" and last is not None and len(last) == len("2015-06-30"):
        last += _LAST_SECOND
    return Condition(column, "range", (first, last))


def _values(column, given):
    many = list(given) if isinstance(given, (list, tuple)) else [given]
    if not many or any(value is None or isinstance(value, dict) for value in many):
        raise DataError(f"filter: {column} takes a value or a list of values, got {given!r}")
    if len(many) > _MOST_VALUES:
        raise DataError(f"filter: {column} takes at most {_MOST_VALUES} values, got {len(many)}")
    return tuple(_value(column, value) for value in many)


def require_column(column):
    """DataError: images have no such column."""
    if column not in COLUMNS:
        raise DataError(
            f"index: images have no {column!r}; known are {', '.join(COLUMNS)}."
            f"{suggest(column, COLUMNS)}"
        )


def _value(column, value):
    if column in _BOUNDS:
        return _degrees(column, value)
    if column == "date":
        return _date(value)
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"index: {column} is a text, got {value!r}")


def _degrees(column, value):
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not abs(number) <= _BOUNDS[column]:
        raise DataError(
            f"index: {column} is a number of degrees from {-_BOUNDS[column]} to "
            f"{_BOUNDS[column]}, got {value!r}"
        )
    return number


def _date(value):
    """``YYYY-MM-DD`` or ``YYYY-MM-DDThh:mm:ss``, the time that a clock at the place showed."""
    try:
        if not isinstance(value, (str, datetime.date)):
            raise ValueError
        text = str(value).strip()
        if len(text) > len("2015-06-30"):
            time = datetime.datetime.fromisoformat(text)
            return time.replace(tzinfo=None, microsecond=0).isoformat()
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        raise DataError(
            f"index: a date is YYYY-MM-DD or YYYY-MM-DD hh:mm:ss, got {value!r}"
        ) from None
