"""Which images a folder or a list holds."""

import os

from cirtorch.utils.errors import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm")


def list_images(source):
    """Images of a folder (searched recursively, sorted) or of a text file with a path a line.

    Returns:
        folder that the names are relative to (that of the list for a list), and the names.

    Raises:
        DataError: there is nothing there, or no images in it.
    """
    source = os.fspath(source)
    if os.path.isdir(source):
        folder, names = source, sorted(_walk(source))
    elif os.path.isfile(source):
        folder = os.path.dirname(os.path.abspath(source))
        # names of files are bytes: what is no UTF-8 comes through as os.listdir would give it
        with open(source, encoding="utf-8", errors="surrogateescape") as file:
            names = [line.strip() for line in file if line.strip()]
    else:
        raise DataError(f"{source}: there is no such folder or list of images")
    if not names:
        raise DataError(f"{source}: holds no images ({', '.join(EXTENSIONS)})")
    return folder, names


def _walk(folder):
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in files:
            if name.lower().endswith(EXTENSIONS) and not name.startswith("."):
                yield os.path.relpath(os.path.join(place, name), folder)
