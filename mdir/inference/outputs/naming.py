"""Names of translated images after the images they come from."""

import os
import posixpath


def image_names(items, dir_structure: str | None = None) -> list[str]:
    """One file name (without folder pattern) for each item.

    Args:
        items: names, or lists of names where several images make one.
        dir_structure: "input" mirrors the first name; "flat" joins all names by ``::`` with ``%``
            for ``/``, only the last with its suffix; None decides by the first item.

    Names that would lead out of the folder (absolute ones, ``..``) are kept inside it.
    """
    items = [[item] if isinstance(item, str) else list(item) for item in items]
    if dir_structure is None and items:
        dir_structure = "flat" if len(items[0]) > 1 else "input"
    if dir_structure == "flat":
        return [_flat_name(names) for names in items]
    return [_inside(names[0]) for names in items]


def _flat_name(names):
    stems = [os.path.splitext(name)[0] for name in names[:-1]]
    return "::".join([*stems, names[-1]]).replace("/", "%")


def _inside(name):
    if name.startswith("/") or ".." in name.split("/"):
        return posixpath.normpath("/" + name.lstrip("/")).lstrip("/")
    return name
