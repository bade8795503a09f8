"""Small JSON files beside a result that tell what it was made of."""

import json
from collections.abc import Callable
from pathlib import Path

from cirtorch.utils.errors import DamagedFile
from cirtorch.utils.files import atomic_write


def read_record(path: Path, is_sound: Callable[[object], bool], remedy: str) -> dict:
    """The mapping of a file; empty where there is none.

    Args:
        is_sound: whether a value of the mapping is one that was written.
        remedy: ends the message of the error.

    Raises:
        DamagedFile: it is not what was written.
    """
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError):
        known = None
    if not isinstance(known, dict) or not all(map(is_sound, known.values())):
        raise DamagedFile(f"{path}: not what was written; {remedy}")
    return known


def write_record(path: Path, known: dict) -> None:
    """Replace the file, whole or not at all."""
    with atomic_write(path, "w", encoding="utf-8") as file:
        json.dump(known, file, sort_keys=True)
