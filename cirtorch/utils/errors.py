"""Errors whose message is written for the person who runs an experiment."""

import difflib
from collections.abc import Iterable


class DataError(ValueError):
    """Data, a file or a setting is not as it must be; the message names it and says what to do."""


class DamagedFile(DataError):
    """A file is cut short, or its content is not what was written; the message names it."""


class ImageError(DataError, OSError):
    """An image file is missing or cannot be read; the message names it."""


def suggest(name, known: Iterable) -> str:
    """The part of a message that names the known name nearest to ``name``.

    Returns:
        ``" Did you mean 'x'?"``; empty where none is near.
    """
    near = nearest(name, known)
    return "" if near is None else f" Did you mean {near!r}?"


def nearest(name, known: Iterable) -> str | None:
    """The known name nearest to ``name``, None where none is near; the slip of a finger is."""
    name, known = str(name), list(map(str, known))
    slips = [each for each in known if is_slip(name, each)]
    near = difflib.get_close_matches(name, slips or known, n=1, cutoff=0 if slips else 0.6)
    return near[0] if near else None


def is_slip(name: str, other: str) -> bool:
    """Whether two names differ by one letter that is left out, too many, another, or swapped."""
    if len(name) == len(other):
        differing = [at for at in range(len(name)) if name[at] != other[at]]
        first, last = (differing or [0])[0], (differing or [0])[-1]
        swapped = name[first : last + 1] == other[first : last + 1][::-1]
        return len(differing) == 1 or (len(differing) == 2 and last == first + 1 and swapped)
    short, long = sorted((name, other), key=len)
    return any(long[:at] + long[at + 1 :] == short for at in range(len(long)))
