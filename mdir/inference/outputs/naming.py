"""Names of translated images after the images they come from."""

import os
import posixpath
from pathlib import Path

from mdir.paths import path_join, resolve_path


def image_names(items, dir_structure: str | None = None, image_dir: str = "") -> list[str]:
    """One file name (without folder pattern) for each item.

    Args:
        items: names, or lists of names where several images make one.
        dir_structure: "input" mirrors the first name; "flat" joins all names by ``::`` with ``%``
            for ``/``, only the last with its suffix; None decides by the first item.
        image_dir: folder of the inputs; empty: absolute names have none.

    What mirrors an absolute name begins below ``image_dir``, or below the folder that holds all
    absolute ones. Names that would lead out of the folder (``..``) are kept inside it.
    """
    items = [[item] if isinstance(item, str) else list(item) for item in items]
    if dir_structure is None and items:
        dir_structure = "flat" if len(items[0]) > 1 else "input"
    if dir_structure == "flat":
        return [_flat_name(names) for names in items]
    return _mirrored([names[0] for names in items], image_dir and os.path.abspath(image_dir))


def _flat_name(names):
    stems = [os.path.splitext(name)[0] for name in names[:-1]]
    return "::".join([*stems, names[-1]]).replace("/", "%")


def _mirrored(names, image_dir):
    absolute = {name: posixpath.normpath(name) for name in names if name.startswith("/")}
    inside = {name for name, path in absolute.items() if Path(path).is_relative_to(image_dir)}
    others = [posixpath.dirname(path) for name, path in absolute.items() if name not in inside]
    common = posixpath.commonpath(others) if others else "/"
    folder = {name: image_dir if name in inside else common for name in absolute}
    return [
        posixpath.relpath(absolute[name], folder[name]) if name in absolute else _inside(name)
        for name in names
    ]


def _inside(name):
    if ".." in name.split("/"):
        return posixpath.normpath("/" + name).lstrip("/")
    return name


def input_paths(items, section: dict) -> list[list[str]]:
    """The images of each name, or list of names, of a data section; none where it has no folder."""
    image_dir = section["dataset"].get("image_dir")
    if image_dir is None:
        return [[] for _ in items]
    names = ([item] if isinstance(item, str) else item for item in items)
    return [[path_join(resolve_path(image_dir), name) for name in each] for each in names]
