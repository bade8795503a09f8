"""Which images a folder or a list holds."""

import os

from cirtorch.utils.errors import DataError
from cirtorch.utils.files import files_below

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")


def list_images(
    folder: str | os.PathLike, recursive: bool = False, may_be_empty: bool = False
) -> list[str]:
    """Names of the image files of a folder, relative to it and sorted as texts.

    An image is a file, or a link to one, with a suffix of ``IMAGE_SUFFIXES`` in any case. Hidden
    files and folders (``._a.jpg``, ``.Trash``) hold none. Linked folders are searched like others.
    A link that leads nowhere is listed: an image that is missing is for its reader to tell.

    Args:
        recursive: look into sub-folders, too.
        may_be_empty: a folder without images is not an error.

    Raises:
        DataError: there is no such folder, or no image in it.
    """
    folder = os.fspath(folder)
    if not os.path.isdir(folder):
        raise DataError(f"{folder}: there is no such folder of images")
    names = sorted(
        os.path.relpath(entry.path, folder)
        for entry in files_below(folder, hidden=False, recursive=recursive)
        if entry.name.lower().endswith(IMAGE_SUFFIXES)
        and (entry.is_symlink() or entry.is_file(follow_symlinks=False))
    )
    if not names and not may_be_empty:
        raise DataError(f"{folder}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
    return names


def read_image_list(path: str | os.PathLike, errors: str = "strict") -> list[str]:
    """Names of a text file, one per line; blank lines are skipped.

    Args:
        errors: how bytes that are not UTF-8 are read: ``strict`` or ``surrogateescape``.

    Raises:
        DataError: there is no such file, it is not UTF-8 text, or it holds no name.
    """
    try:
        with open(path, encoding="utf-8-sig", errors=errors) as file:
            names = [line.strip() for line in file]
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such list or folder of images") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not text in UTF-8, one name per line ({error})") from error
    names = [name for name in names if name]
    if not names:
        raise DataError(f"{path}: the list names no image")
    return names


def images_of(source: str | os.PathLike) -> tuple[str, list[str]]:
    """Images of a folder and below, or of a text file with a path per line.

    Returns:
        folder that the names are relative to (that of the list for a list), and the names.

    Raises:
        DataError: there is nothing there, or no images in it.
    """
    source = os.fspath(source)
    if os.path.isdir(source):
        return source, list_images(source, recursive=True)
    # names of files are bytes: what is not UTF-8 comes through as a folder's listing would give it
    names = read_image_list(source, errors="surrogateescape")
    return os.path.dirname(os.path.abspath(source)), names
