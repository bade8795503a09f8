"""Images of places: a database and queries, with the positions they were taken at."""

import hashlib
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from torch.utils.data import Dataset

from cirtorch.utils.errors import DataError
from mdir.artifacts import used
from mdir.data.datasets.place_layouts import (
    LAYOUTS,
    QUERIES,
    find_folder,
    first_image,
    place_images,
    query_folders,
)
from mdir.data.image_files import open_image, open_through
from mdir.data.index_files import read_index
from mdir.data.place_names import name_note
from mdir.data.positions import position_reader, read_positions
from mdir.errors import UserError
from mdir.paths import resolve_path
from mdir.registry import Check, Problem, holds_unresolved, register

SetName = Literal[tuple(LAYOUTS)]
_NOTE, _IN_IMAGES = "note", ("names", "exif")
_SHOWN = 5


def check_conditions(text: str) -> None:
    """ValueError unless it is ``note``, ``note:NUMBER`` or a CSV file."""
    head, colon, number = text.partition(":")
    if head == _NOTE:
        if colon and not (number.isdecimal() and int(number) > 0):
            raise ValueError(f"expected note:1, note:2, ... (parts between '_'), got {text!r}")
    elif not text.endswith(".csv"):
        raise ValueError(f"expected 'note', 'note:NUMBER' or a CSV file, got {text!r}")


def check_positions(text: str) -> None:
    """ValueError unless it is ``names``, ``exif`` or a CSV file."""
    if text not in _IN_IMAGES and not text.endswith(".csv"):
        raise ValueError(f"expected 'names', 'exif' or a CSV file, got {text!r}")


def _check(params):
    """A split of a set that has none, and a set that is there without positions."""
    if params.get("set") == "folder" and params.get("split") is not None:
        yield Problem(("split",), "the set 'folder' has no splits: name its folder as image_dir")
    elif not holds_unresolved(params):
        yield from _check_there(params)


def _check_there(params):
    """What tells no position of the first image of a folder; of a set that is there by now."""
    layout = LAYOUTS[params["set"]]
    try:
        root = Path(resolve_path(params["image_dir"]))
        root = find_folder(params["set"], root, params.get("split") or layout.split)
    except DataError:
        return
    asked = params.get("queries") or dict(layout.queries, all=QUERIES)
    folders = [asked] if isinstance(asked, str) else asked.values()
    source = _source(params.get("positions", "names"))
    if source not in _IN_IMAGES and not os.path.isfile(source):
        return
    try:
        read = position_reader(source, root)
        for folder in (params.get("database") or layout.database, *folders):
            if (name := first_image(root, folder)) is not None:
                read(name)
    except (DataError, UserError) as error:
        yield Problem(("positions",), f"{root}: {error}")


def _source(positions):
    return positions if positions in _IN_IMAGES else resolve_path(positions)


@register("dataset", "places", check=_check)
class Places(Dataset):
    """Images of a place recognition set: its database, then its queries.

    Images are the files in .jpg, .jpeg and .png of a folder and below, sorted by path, or those
    of a list ``FOLDER_images_paths.txt`` beside it, in its order.

    Attributes:
        root: the folder that holds database and queries.
        names, files: of all images, below ``root`` and as paths.
        database: how many of them are the database.
        positions: float64 ``[N, 2]``, east and north in metres of all images.
        conditions: name -> numbers of queries (from 0), int64; empty where there are none.
        groups: what each query belongs to, texts; null: each is alone.

    Args:
        transform: pipeline over one PIL image.
        set: name of the set; ``folder`` is one of your own.
        image_dir: the set's folder (it holds ``images/test`` and the like; for ``folder``,
            ``database`` and ``queries`` themselves), relative to the root.
        split: null: the one that published numbers are of.
        database: folder of the database; null: the set's own (``database``; svox: ``gallery``).
        queries: folder of the queries, or condition -> folder; null: the set's own
            (``queries``; svox and sf_xl: those of their conditions that are there).
        positions: ``names``, see :mod:`mdir.data.place_names`; ``exif`` (GPS); or a CSV file,
            relative to the root, with the columns ``file`` (such as ``database/1.jpg``) and
            ``east``, ``north`` (metres) or ``latitude``, ``longitude``.
        conditions: of queries in one folder: ``note`` is what their names note, ``note:1`` its
            first part between ``_``; or a CSV file with the columns ``file`` and ``condition``,
            for some of the queries or all; null: none.
        groups: CSV file with the columns ``file`` and ``group``, for all queries: those of one
            group (of one place, of one video) are not independent of each other, which makes
            intervals wider; null: all are.

    Raises:
        DataError, UserError: images or positions are missing, or not as they must be.
    """

    takes_decoded_cache = True

    def __init__(
        self,
        transform,
        inputs=(),
        *,
        set: SetName,
        image_dir: str,
        split: Literal["train", "val", "test"] | None = None,
        database: str | None = None,
        queries: str | dict[str, str] | None = None,
        positions: Annotated[str, Check(check_positions)] = "names",
        conditions: Annotated[str, Check(check_conditions)] | None = None,
        groups: str | None = None,
    ):
        layout = LAYOUTS[set]
        self.transform, self.are_own = transform, set == "folder"
        self.root = find_folder(set, Path(resolve_path(image_dir)), split or layout.split)
        folders = query_folders(set, self.root, queries)
        if not folders:
            raise UserError(f"{self.root}: queries names no folder")
        database = database or layout.database
        known = place_images(self.root, database)
        parts = {name: place_images(self.root, one) for name, one in folders.items()}
        asked = [name for names in parts.values() for name in names]
        self.names, self.database = [*known, *asked], len(known)
        self.files = [os.path.join(self.root, name) for name in self.names]
        for folder in (database, *folders.values()):
            used(self.root / folder)
        self._refuse_repeats(database, asked)
        self.positions = read_positions(_source(positions), self.root, self.names)
        self.conditions = self._by_folder(parts)
        if conditions is not None:
            if self.conditions:
                raise UserError(
                    f"{self.root}: the queries have the conditions of their folders "
                    f"({', '.join(self.conditions)}); leave out 'conditions', or name one folder"
                )
            self.conditions = _by_condition(self._conditions_of(asked, conditions, folders[""]))
        self.groups = None
        if groups is not None:
            self.groups = self._listed(asked, groups, "group", folders.get("", ""))
            lacking = [name for name, group in zip(asked, self.groups, strict=True) if not group]
            if lacking:
                raise UserError(
                    f"{groups}: {len(lacking)} of {len(asked)} queries have no group: "
                    f"{', '.join(lacking[:_SHOWN])}"
                )

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return self.view(index), {"index": index, "position": self.positions[index]}

    def view(self, index: int):
        """The image alone."""
        reading = self.files[index], "RGB", self.are_own
        return self.transform(open_through(self.transform, open_image, *reading))

    @property
    def digest(self) -> str:
        """Of the names of database and queries in their order: first digits of a SHA-256."""
        text = "\n".join([str(self.database), *self.names])
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]

    def _refuse_repeats(self, database, asked):
        twice = [name for name, times in Counter(asked).items() if times > 1]
        if twice:
            raise UserError(f"{self.root}: {twice[0]} is in two folders of queries")
        place = os.path.realpath(self.root / database)  # of the folder: images may be millions
        known = {os.path.join(place, os.path.relpath(name, database))
                 for name in self.names[: self.database]}  # fmt: skip
        both = [path for path in self.files[self.database :] if os.path.realpath(path) in known]
        if both:
            print(
                f"Warning: {self.root}: {len(both)} of {len(asked)} queries are in the database "
                f"and find themselves, such as {os.path.basename(both[0])}: recalls are too high",
                file=sys.stderr,
            )

    def _by_folder(self, parts):
        if list(parts) == [""]:
            return {}
        ends = np.cumsum([len(names) for names in parts.values()])
        return {
            name: np.arange(end - len(names), end)
            for (name, names), end in zip(parts.items(), ends, strict=True)
        }

    def _conditions_of(self, asked, conditions, folder):
        if conditions.partition(":")[0] == _NOTE:
            return self._of_notes(asked, conditions)
        return self._listed(asked, conditions, "condition", folder)

    def _listed(self, asked, source, column, folder):
        """What a CSV file says of each query in a column; nothing of those not named."""
        path = Path(resolve_path(source))
        used(path)
        told = {}
        for row, where in read_index(path, ("file", column), "queries"):
            name = os.path.normpath(row["file"])
            if name in told:
                raise UserError(f"{where}: {row['file']} stands twice in it")
            if not row[column]:
                raise UserError(f"{where}: no {column} of {row['file']}")
            told[name] = row[column], where
        found = []
        for name in asked:
            inner = os.path.relpath(name, folder)
            found.append(told.pop(name, None) or told.pop(inner, None) or ("", ""))
        if told:
            name, (_, where) = next(iter(told.items()))
            raise UserError(
                f"{where}: {name} is no query of {self.root / folder} "
                f"({len(told)} rows of {path.name} name none)"
            )
        return [value for value, _ in found]

    def _of_notes(self, asked, conditions):
        number = conditions.partition(":")[2]
        notes = [name_note(name) for name in asked]
        if number:
            parts = [note.split("_") for note in notes]
            notes = [one[int(number) - 1] if len(one) >= int(number) else "" for one in parts]
        lacking = [name for name, note in zip(asked, notes, strict=True) if not note]
        if lacking:
            raise UserError(
                f"{self.root}: {len(lacking)} of {len(asked)} queries note nothing as "
                f"{conditions}: {', '.join(lacking[:_SHOWN])}"
            )
        return notes


def _by_condition(told):
    names = sorted({condition for condition in told if condition})
    return {name: np.flatnonzero([one == name for one in told]) for name in names}
