"""Unpaired images of two domains."""

from functools import partial
from typing import Literal

import numpy as np
from torch.utils.data import Dataset

from mdir.data.image_files import open_image, open_through
from mdir.data.image_lists import listed_images
from mdir.errors import gathered
from mdir.registry import register


@register("dataset", "RandomDomainsPair")
class RandomDomainsPair(Dataset):
    """An image of domain X and one of domain Y that have nothing to do with each other.

    Which ones is drawn in ``prepare_epoch`` from NumPy's global generator, which the training loop
    seeds for each epoch.

    Args:
        transform: pipeline; both images go through it at once and share a crop window.
        dataset_X, dataset_Y: text files, one image name per line, or folders of images.
        image_dir: folder pattern of the names (see :func:`mdir.paths.path_join`).
        size: pairs an epoch; null: as many as the smaller list has images (``unaligned``: the
            larger one).
        image_dir_Y: folder pattern of domain Y; null: ``image_dir``.
        sampling: ``replacement``: both images are drawn anew for every pair. ``unaligned``:
            images of X come in turn, and one of Y is drawn for each, as in CycleGAN and CUT.
        independent_transforms: each image goes through the pipeline by itself, so that the
            window of one is not bounded by the other's size.
    """

    takes_decoded_cache = True
    chosen_for_epoch = ("idxs_X", "idxs_Y")

    def __init__(
        self,
        transform,
        inputs,
        *,
        dataset_X: str,
        dataset_Y: str,
        image_dir: str,
        size: int | None,
        image_dir_Y: str | None = None,
        sampling: Literal["replacement", "unaligned"] = "replacement",
        independent_transforms: bool = False,
    ):
        self.transform, self.independent = transform, independent_transforms
        folder_Y = image_dir if image_dir_Y is None else image_dir_Y
        self.paths_X, self.paths_Y = gathered(
            [
                partial(listed_images, dataset_X, image_dir),
                partial(listed_images, dataset_Y, folder_Y),
            ]
        )
        self.in_turn = sampling == "unaligned"
        count = max if self.in_turn else min
        self.size = count(len(self.paths_X), len(self.paths_Y)) if size is None else size
        self.idxs_X = self.idxs_Y = None

    def prepare_epoch(self, extract) -> None:
        """Draw the pairs of an epoch."""
        if self.in_turn:
            self.idxs_X = np.arange(self.size) % len(self.paths_X)
        else:
            self.idxs_X = np.random.randint(len(self.paths_X), size=self.size)
        self.idxs_Y = np.random.randint(len(self.paths_Y), size=self.size)

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        """``(image of X, image of Y)`` as the transform makes them."""
        if self.idxs_X is None:
            raise RuntimeError("RandomDomainsPair: prepare_epoch has to be called before any item")
        paths = self.paths_X[self.idxs_X[index]], self.paths_Y[self.idxs_Y[index]]
        images = [open_through(self.transform, open_image, path) for path in paths]
        if self.independent:
            return tuple(self.transform(image) for image in images)
        return self.transform(*images)
