"""Lists of images: which there are, whether they are whole, and those at fault."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from PIL import Image

from cirtorch.datasets.file_ends import ends_early
from cirtorch.datasets.imagefiles import list_images, read_image_list
from cirtorch.utils.errors import DataError
from mdir.artifacts import used, used_files
from mdir.errors import gathered
from mdir.paths import path_join, resolve_path

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


def listed_images(source: str, image_dir: str) -> list[str]:
    """Paths of the images of a list or folder, by a scenario's rules; all of them are there.

    Args:
        source, image_dir: see :func:`read_names`, :func:`mdir.paths.path_join`.

    Raises:
        DataError: as :func:`read_names`, :func:`read_beside` and :func:`require_images`.
    """
    source, folder = resolve_path(source), resolve_path(image_dir)
    names = read_beside(partial(read_names, source), source, folder)
    paths = [path_join(folder, name) for name in names]
    require_images(source, paths)
    used_files(paths)
    return paths


def read_beside(read: Callable, source: str | os.PathLike, *image_dirs: str):
    """What ``read()`` gives of a list; with one that is missing, folders of its images are told.

    Args:
        source: the list's path. image_dirs: folder patterns.

    Raises:
        whatever ``read`` does, and DataError for folders.
    """
    folders = [] if os.path.exists(source) else image_dirs
    return gathered([read, *(partial(_require_folder, folder) for folder in folders)])[0]


def _require_folder(image_dir):
    folder, star, _ = image_dir.partition("*")
    folder = os.path.dirname(folder) if star else folder
    if folder and not os.path.isdir(folder):
        raise DataError(f"{folder}: there is no such folder of images")


def require_images(source: str, paths: Sequence[str]) -> None:
    """Refuse a list of which images are missing.

    Raises:
        DataError: with their number and the first one.
    """
    missing = [path for path in dict.fromkeys(paths) if not os.path.exists(path)]
    if missing:
        raise DataError(
            f"{source}: {len(missing)} of its {len(paths)} images are missing, the first one "
            f"is {missing[0]}"
        )


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
