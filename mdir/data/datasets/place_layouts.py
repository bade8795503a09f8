"""Folders of the visual place recognition sets, as gmberton/VPR-datasets-downloader writes them."""

import os
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cirtorch.datasets.imagefiles import list_images, read_image_list
from cirtorch.downloads.known_files import known_folders
from cirtorch.utils.errors import DataError
from cirtorch.utils.files import files_below
from mdir.artifacts import used
from mdir.data.image_lists import listed

SUFFIXES = (".jpg", ".jpeg", ".png")
QUERIES = "queries"


@dataclass(frozen=True)
class PlaceLayout:
    """Where one set lies below its own folder.

    Attributes:
        folders: that may hold database and queries, the first that is there; ``{split}`` in them.
        split: that published numbers are of.
        database: name of its folder.
        queries: condition -> folder; empty: one folder ``queries`` of no condition.
    """

    folders: tuple[str, ...] = ("images/{split}", "{split}")
    split: str = "test"
    database: str = "database"
    queries: Mapping[str, str] = field(default_factory=dict)


def _conditions(*names):
    return {name: f"{QUERIES}_{name}" for name in names}


LAYOUTS = {
    "tokyo247": PlaceLayout(),
    "svox": PlaceLayout(
        database="gallery", queries=_conditions("night", "overcast", "rain", "snow", "sun")
    ),
    "msls": PlaceLayout(split="val"),
    "pitts30k": PlaceLayout(),
    "pitts250k": PlaceLayout(),
    "sf_xl": PlaceLayout(
        folders=("processed/{split}",), queries=_conditions("v1", "v2", "night", "occlusion")
    ),
    "amstertime": PlaceLayout(),
    "nordland": PlaceLayout(),
    "st_lucia": PlaceLayout(),
    "folder": PlaceLayout(folders=(".",)),
}


def find_folder(name: str, image_dir: Path, split: str) -> Path:
    """The folder that holds database and queries.

    Raises:
        DataError: it is not there; the message says what to put where.
    """
    candidates = [image_dir / one.format(split=split) for one in LAYOUTS[name].folders]
    for folder in candidates:
        if folder.is_dir():
            return folder
    known = [f.by_hand for f in known_folders("places") if f.to.split("/")[0] == name]
    raise DataError(" ".join([f"'{candidates[0]}' is not available.", *known]))


def query_folders(name: str, root: Path, given: str | Mapping[str, str] | None) -> dict[str, str]:
    """Condition -> folder below ``root``; the condition of a folder that stands alone is empty.

    Args:
        given: what a scenario names; None: those of the layout that are there.
    """
    if given is not None:
        return {"": given} if isinstance(given, str) else dict(given)
    known = LAYOUTS[name].queries
    there = {condition: one for condition, one in known.items() if (root / one).is_dir()}
    if not there:
        return {"": QUERIES}
    if absent := sorted(set(known) - set(there)):
        print(
            f"Warning: {root}: there are no queries of {', '.join(absent)}; means are over the "
            "other conditions",
            file=sys.stderr,
        )
    return there


def place_images(root: Path, folder: str) -> list[str]:
    """Images of a folder and below, relative to ``root``, sorted by path.

    A list ``FOLDER_images_paths.txt`` beside the folder takes the place of looking: a path below
    the folder a line, in its own order.

    Raises:
        DataError: no such folder, no image in it, or a list that names one twice or one that is
            not there.
    """
    place = root / folder
    if not place.is_dir():
        raise DataError(f"{place}: there is no such folder of images")
    beside = place.with_name(f"{place.name}_images_paths.txt")
    names = _of_list(beside, place) if beside.exists() else _of_folder(place)
    return [os.path.normpath(os.path.join(folder, name)) for name in names]


def first_image(root: Path, folder: str) -> str | None:
    """The first image of a folder and below, relative to ``root``; None where there is none."""
    found = (entry.path for entry in files_below(root / folder, hidden=False))
    return next((os.path.relpath(p, root) for p in found if p.lower().endswith(SUFFIXES)), None)


def _of_folder(place):
    found = list_images(place, recursive=True)
    names = [name for name in found if name.lower().endswith(SUFFIXES)]
    if not names:
        raise DataError(f"{place}: holds no image ({', '.join(SUFFIXES)})")
    if len(names) < len(found):
        print(
            f"Warning: {place}: {len(found) - len(names)} images are left out, whose names do not "
            f"end in {', '.join(SUFFIXES)}",
            file=sys.stderr,
        )
    return names


def _of_list(path, place):
    used(path)
    names = read_image_list(path, errors="surrogateescape")
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise DataError(f"{path}: names twice:{listed(twice)}")
    missing = [name for name in names if not (place / name).is_file()]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(names)} images are not in {place}:{listed(missing)}"
        )
    return names
