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
    near = difflib.get_close_matches(str(name), map(str, known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
