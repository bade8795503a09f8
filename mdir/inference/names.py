"""Names of images for the step ``infer``: from standard input or from its parameter ``names``."""

import os

from cirtorch.utils.errors import DataError
from mdir.data.image_lists import read_names
from mdir.data.table_files import initialize_file_reader
from mdir.paths import resolve_path


def name_columns(names, image_dir: str | None) -> list[list]:
    """Columns of names.

    Args:
        names: a list of names; a list file (``.txt``: a name per line; ``.lst``, ``.tsv``,
            ``.csv``, ``.pkl``: as columns); or a folder: all images below it.
        image_dir: folder pattern of the dataset; images of a folder are named relative to it
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
        base = resolve_path(image_dir.rpartition("*")[0] or image_dir) if image_dir else "/"
        paths = read_names(os.path.abspath(place))
        return [[_relative(path, os.path.abspath(base)) for path in paths]]
    if place.endswith(".txt"):
        return [read_names(place)]
    with initialize_file_reader(names) as reader:
        return list(reader.get().values())


def _relative(path, base):
    inside = os.path.relpath(path, base)
    return path if inside.startswith("..") or base == "/" else inside
