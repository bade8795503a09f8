"""Own photographs: an index of places by day and by night, read and checked."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from cirtorch.datasets.imagefiles import IMAGE_SUFFIXES, list_images
from mdir.data.image_lists import subfolders
from mdir.data.index_files import read_index
from mdir.errors import UserError

CONDITIONS = ("day", "night")
COLUMNS = ("path", "landmark", "condition")
SHOWN = 20  # problems listed in one message


@dataclass(frozen=True)
class Photo:
    """One photograph.

    ``name`` is its path below the folder, ``landmark`` the place it shows (None: unknown; such a
    photograph serves as a distractor), ``condition`` is ``day`` or ``night``, ``where`` says where
    it was listed.
    """

    name: str
    landmark: str | None
    condition: str
    where: str


def read_photos(folder: Path, index: Path | None = None) -> list[Photo]:
    """List the photographs of a folder and check every one of them.

    Without an index, ``index.csv`` of the folder is read where there is one (header ``path,
    landmark,condition``; an empty landmark is an unknown place). Otherwise every sub-folder is a
    place, holding images taken by day, or the sub-folders ``day`` and ``night``.

    Raises:
        UserError: with every problem found: no folder, an empty index, wrong columns, missing or
            unreadable images, the same image twice, an unknown condition, a place with a
            single photograph.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of photographs")
    if index is None and (folder / "index.csv").exists():
        index = folder / "index.csv"
    photos = _from_index(index) if index is not None else _from_folders(folder)
    problems = [*_duplicates(photos), *_single(photos)]
    for photo in photos:
        problems += _problems(folder, photo)
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise UserError("\n".join(problems[:SHOWN] + more))
    return photos


def _from_index(index):
    return [
        Photo(row["path"], row["landmark"] or None, row["condition"], where)
        for row, where in read_index(index, COLUMNS, "photographs")
    ]


def _from_folders(folder):
    photos = []
    for place in subfolders(folder):
        for condition, source in (
            ("day", place),
            ("day", place / "day"),
            ("night", place / "night"),
        ):
            for name in list_images(source, may_be_empty=True) if source.is_dir() else ():
                path = source / name
                name = str(path.relative_to(folder))
                photos.append(Photo(name, place.name, condition, str(path)))
    if not photos:
        raise UserError(
            f"{folder}: neither an index.csv nor a sub-folder with pictures for each place "
            f"({', '.join(IMAGE_SUFFIXES)})"
        )
    return photos


def _problems(folder, photo):
    """Yield what is wrong with one photograph on its own."""
    if photo.condition not in CONDITIONS:
        yield (
            f"{photo.where}: unknown condition {photo.condition!r} of {photo.name}. "
            f"Allowed: {', '.join(CONDITIONS)}"
        )
    if not photo.name or any(character in photo.name for character in "\t\r\n"):
        yield f"{photo.where}: {photo.name!r} is not a usable path (empty, tab or line break)"
        return
    path = folder / photo.name
    if not path.is_file():
        yield f"{photo.where}: no such photograph: {path}"
        return
    try:
        with Image.open(path) as image:
            image.verify()
    except Exception as error:  # PIL raises whatever its decoders meet in a broken file
        yield f"{photo.where}: {path} is not a readable picture ({error})"


def _duplicates(photos):
    first = {}
    for photo in photos:
        known = first.setdefault(Path(photo.name), photo)
        if known is not photo:
            yield f"{photo.where}: {photo.name} is listed twice, first at {known.where}"


def _single(photos):
    count = Counter(photo.landmark for photo in photos if photo.landmark is not None)
    for photo in photos:
        if count[photo.landmark] == 1:
            yield (
                f"{photo.where}: landmark {photo.landmark!r} has a single photograph; give it "
                "another or leave its landmark empty"
            )
