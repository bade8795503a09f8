"""Tuples of images picked from lists of names."""

import random
from functools import partial

import numpy as np
from torch.utils.data import Dataset

from cirtorch.utils.errors import DataError
from mdir.artifacts import used_files
from mdir.data.datasets.images import label_images
from mdir.data.image_files import open_image, open_through
from mdir.data.image_lists import read_beside, require_images
from mdir.data.table_files import initialize_file_reader
from mdir.paths import path_join, resolve_path
from mdir.registry import register


def parse_picks(idx: str | list) -> list:
    """``"0_-1_any_different"`` -> item numbers and words; a list ``[lo, hi]`` is a slice.

    Raises:
        DataError: a part is neither a number nor one of the words.
    """
    if isinstance(idx, list):
        if len(idx) != 2 or not all(part is None or isinstance(part, int) for part in idx):
            raise DataError(f"idx {idx}: a list has to be [low, high], numbers or null")
        return slice(*idx)
    picks = []
    for part in str(idx).split("_"):
        if part not in ("any", "different") and not part.lstrip("-").isdigit():
            raise DataError(f"idx {idx!r}: {part!r} is not an item number, 'any' or 'different'")
        picks.append(part if part in ("any", "different") else int(part))
    return picks


def pick(names, picks, draw) -> list[str]:
    """Choose from one list of names; ``draw(n)`` gives a random number below n.

    Raises:
        DataError: the list is too short.
    """
    if isinstance(picks, slice):
        return list(names[picks])
    taken = []
    for entry in picks:
        left = [i for i in range(len(names)) if entry != "different" or i not in taken]
        if not left or (isinstance(entry, int) and not -len(names) <= entry < len(names)):
            raise DataError(f"a tuple of {len(names)} names has no item {entry!r}: {names}")
        chosen = entry % len(names) if isinstance(entry, int) else left[draw(len(left))]
        taken.append(chosen)
    return [names[i] for i in taken]


class _ImageTuples(Dataset):
    """Images of the picked names, transformed together.

    Args:
        transform: pipeline over the images of a tuple.
        dataset: file with columns (pkl, h5, tsv, csv, lst).
        data_key: the column; its cells are lists of names.
        image_dir: folder pattern.
        idx: which names of a tuple, see :func:`parse_picks`.
    """

    takes_decoded_cache = True

    def __init__(
        self,
        transform,
        inputs,
        *,
        dataset: str | None,
        data_key: str,
        image_dir: str | None,
        idx: str | list,
    ):
        if dataset is None or image_dir is None:
            raise DataError(f"{type(self).__name__}: dataset and image_dir have to be given")
        self.transform, self.image_dir = transform, resolve_path(image_dir)
        self.source = resolve_path(dataset)
        read = partial(_read_column, self.source, data_key)
        self.tuples = read_beside(read, self.source, self.image_dir)
        used_files(self._every())
        self.picks = parse_picks(idx)
        self.names = None
        self._start()

    def _start(self):
        """What a kind of tuples does once."""

    def __len__(self):
        return len(self.tuples)

    def __getitem__(self, index):
        if self.names is None:
            raise DataError(f"{type(self).__name__}: prepare_epoch has to come before items")
        paths = self.paths(index)
        images = (open_through(self.transform, open_image, path) for path in paths)
        result = label_images(self.transform(*images), paths)
        return list(result) if isinstance(result, tuple) else [result]

    def require_files(self) -> None:
        """See :func:`mdir.data.image_lists.require_images`."""
        require_images(self.source, self._every())

    def _every(self):
        return [path_join(self.image_dir, name) for names in self.tuples for name in names]

    def paths(self, index: int) -> list[str]:
        """Files of one tuple."""
        return [path_join(self.image_dir, name) for name in self.names[index]]

    def _draw_all(self, draw):
        self.names = [pick(names, self.picks, draw) for names in self.tuples]


@register("dataset", "RandomImageTuple")
class RandomImageTuple(_ImageTuples):
    """Picks drawn anew before every epoch (NumPy's global generator)."""

    chosen_for_epoch = ("names",)

    def prepare_epoch(self, extract):
        self._draw_all(np.random.randint)


@register("dataset", "PregeneratedImageTuple")
class PregeneratedImageTuple(_ImageTuples):
    """Picks drawn once, the same in every run (published: Python's ``Random(0)``)."""

    def _start(self):
        self._draw_all(random.Random(0).randrange)


def _read_column(path, key):
    with initialize_file_reader(path, keys=[key]) as reader:
        return reader.get()[key]
