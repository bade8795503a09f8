"""Names of images for the step ``infer``: from standard input or from its parameter ``names``."""

import os

from cirtorch.utils.errors import DataError
from mdir.artifacts import used
from mdir.data.readers import initialize_file_reader
from mdir.paths import resolve_path

_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".webp", ".tif", ".tiff")


def read_names(names, image_dir: str | None) -> list[list]:
    """Columns of names.

    Args:
        names: a list of names; a list file (``.txt``: a name per line; ``.lst``, ``.tsv``,
            ``.csv``, ``.pkl``: as columns); or a folder: all pictures below it.
        image_dir: folder pattern of the dataset; pictures of a folder are named relative to it
            where they lie inside.

    Raises:
        DataError: there is no such file or folder, or no name in it.
    """
    columns = [list(names)] if isinstance(names, (list, tuple)) else _read(names, image_dir)
    if not columns or not columns[0]:
        raise DataError(f"{names}: holds no image names")
    return columns


def _read(names, image_dir):
    place = resolve_path(names)
    if os.path.isdir(place):
        used(place)
        return [_pictures(place, image_dir)]
    if place.endswith(".txt"):
        used(place)
        try:
            with open(place, encoding="utf-8") as file:
                return [[line.strip() for line in file if line.strip()]]
        except FileNotFoundError:
            raise DataError(f"{place}: there is no such list file or folder") from None
        except UnicodeDecodeError as error:
            raise DataError(f"{place}: is no text in UTF-8, one name a line ({error})") from error
    with initialize_file_reader(names) as reader:
        return list(reader.get().values())


def _pictures(folder, image_dir):
    base = resolve_path(image_dir.rpartition("*")[0] or image_dir) if image_dir else "/"
    paths = [
        os.path.join(parent, name)
        for parent, _, files in os.walk(folder)
        for name in files
        if name.lower().endswith(_PICTURES) and not name.startswith(".")
    ]
    return sorted(_relative(os.path.abspath(path), os.path.abspath(base)) for path in paths)


def _relative(path, base):
    inside = os.path.relpath(path, base)
    return path if inside.startswith("..") or base == "/" else inside
