"""Lists of images: which there are, whether they are whole, and those at fault."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from cirtorch.datasets.file_ends import ends_early
from cirtorch.datasets.imagefiles import list_images, read_image_list
from cirtorch.utils.errors import DataError
from mdir.artifacts import used

_SHOWN = 50
_THREADS = 8


def read_names(source: str) -> list[str]:
    """Image names of a text file, one per line (blank lines are skipped), or all below a folder.

    Raises:
        DataError: there is no such file or folder, or no name in it.
    """
    used(source)
    if os.path.isdir(source):
        return [os.path.join(source, name) for name in list_images(source, recursive=True)]
    return read_image_list(source)


def subfolders(folder: Path) -> list[Path]:
    """Folders of a folder, sorted, without what systems and editors hide there behind a dot."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def check_readable(files: Sequence[Path]) -> None:
    """Raise a :class:`DataError` that lists the files that are not images, or cut short.

    The head of a file says what it is, and its end that it is all there; formats whose files have
    no mark at their end are decoded.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        faults = list(pool.map(_fault, files))
    bad = [f"{path} ({fault})" for path, fault in zip(files, faults, strict=True) if fault]
    if bad:
        raise DataError(f"{len(bad)} unreadable images:{listed(bad)}")


def listed(names: Sequence) -> str:
    """Names one per line, and how many more there are than can be shown."""
    rest = len(names) - _SHOWN
    more = [f"and {rest} more"] if rest > 0 else []
    return "".join(f"\n  {name}" for name in [*names[:_SHOWN], *more])


def _fault(path):
    try:
        with Image.open(path) as image:
            return "is cut short" if ends_early(image) else None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return str(error)
