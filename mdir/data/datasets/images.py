"""Datasets of single images and of columns of images."""

import sys
from collections.abc import Sequence
from typing import Annotated

import torch
from torch.utils.data import Dataset

from cirtorch.utils.errors import DataError
from mdir.artifacts import used_files
from mdir.data.image_files import crop_path, load_image, open_image, open_through
from mdir.data.image_lists import require_images
from mdir.data.labelled import LabelledImage
from mdir.paths import path_join, resolve_path
from mdir.registry import register
from mdir.registry.ranges import at_least


def label_images(result, paths: Sequence[str], labels: Sequence[str] | None = None):
    """Tell every tensor that came out of a transform its file; others come back as they are.

    ``result`` is one tensor or a tuple of as many tensors as ``paths``.
    """
    images = result if isinstance(result, (tuple, list)) else (result,)
    if len(images) != len(paths) or not all(isinstance(i, torch.Tensor) for i in images):
        return result
    labels = labels or [""] * len(paths)
    labelled = tuple(
        LabelledImage.of_file(*item) for item in zip(images, paths, labels, strict=True)
    )
    return labelled if isinstance(result, (tuple, list)) else labelled[0]


def check_columns(inputs, counts, what: str) -> int:
    """The common length of the input columns.

    Raises:
        DataError: there are not ``counts`` (a range) columns, or they differ in length.
    """
    lengths = [len(column) for column in inputs]
    if len(lengths) not in counts or len(set(lengths)) > 1:
        raise DataError(
            f"{what} needs {counts[0]} or more columns of equal lengths as input data, "
            f"got columns of lengths {lengths}"
        )
    return lengths[0]


@register("dataset", "ImageList")
class ImageList(Dataset):
    """Images by name, column by column: an item is all images of one row, transformed together.

    Args:
        transform: pipeline over the images of a row.
        inputs: columns of names; a cell may itself be a list of names.
        image_dir: folder pattern (see :func:`mdir.paths.path_join`), relative to the root.
        mode: PIL mode, RGB by default.
        upright: turn pictures as their EXIF says; the step ``infer`` does unless this is false.
    """

    takes_decoded_cache = True

    def __init__(
        self, transform, inputs, *, image_dir: str, mode: str | None = None, upright: bool = False
    ):
        check_columns(inputs, range(1, 1000), type(self).__name__)
        self.transform, self.mode, self.upright = transform, mode or "RGB", upright
        self.rows = [_flat(row) for row in zip(*inputs, strict=True)]
        self.image_dir = resolve_path(image_dir)
        used_files(self._every())

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        paths = self.paths(index)
        reading = self.mode, self.upright
        images = (open_through(self.transform, open_image, path, *reading) for path in paths)
        return label_images(self.transform(*images), paths)

    def paths(self, index: int) -> list[str]:
        """Files of one row."""
        return [path_join(self.image_dir, name) for name in self.rows[index]]

    def require_files(self) -> None:
        """See :func:`mdir.data.image_lists.require_images`."""
        require_images(self.image_dir, self._every())

    def _every(self):
        return [path for index in range(len(self)) for path in self.paths(index)]


@register("dataset", "InferImageList")
class InferImageList(ImageList):
    """As ImageList; an item is ``(names of the row, images)``."""

    def __getitem__(self, index):
        return self.rows[index], super().__getitem__(index)


@register("dataset", "CirImageList")
class CirImageList(Dataset):
    """Images for descriptors: cut, shrunk to a longest side, transformed one by one.

    Args:
        transform: pipeline over one image.
        inputs: columns ``names [, boxes] [, labels]``; a box is null, empty or x1, y1, x2, y2.
        image_dir: folder pattern, relative to the root.
        image_size: longest side in pixels; null or infinity: as the file is.
        image_labels: the last column holds labels (wrappers may decide by them).
        ignore_errors: an unreadable image is an empty item ``{}`` and a warning, not an error.
        load_images_with_bbx: read crops made beforehand, see
            :func:`mdir.data.image_files.load_image`.
        upright: as of ImageList; boxes are those of the turned pictures.
    """

    takes_decoded_cache = True

    def __init__(
        self,
        transform,
        inputs,
        *,
        image_dir: str,
        image_size: Annotated[int | float, at_least(1)] | None,
        image_labels: bool = False,
        ignore_errors: bool = False,
        load_images_with_bbx: bool = False,
        upright: bool = False,
    ):
        columns = list(inputs)
        length = check_columns(columns, range(1 + image_labels, 3 + image_labels), "CirImageList")
        self.labels = columns.pop() if image_labels else [""] * length
        self.names = columns[0]
        self.boxes = columns[1] if len(columns) > 1 else [None] * length
        self.transform, self.image_size = transform, image_size
        self.image_dir = resolve_path(image_dir)
        self.ignore_errors, self.precropped = ignore_errors, load_images_with_bbx
        self.upright = upright
        self.paths = [path_join(self.image_dir, name) for name in self.names]
        used_files(self._every())

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        path = self.paths[index]
        try:
            image = self._open(path, self.boxes[index])
        except DataError as error:
            if not self.ignore_errors:
                raise
            print(f"Warning: {error}", file=sys.stderr)
            return {}
        return label_images(self.transform(image), [path], [self.labels[index] or ""])

    def _open(self, path, box):
        reading = self.image_size, box, self.precropped, self.upright
        beside = crop_path(path, box) if self.precropped and box else None
        return open_through(self.transform, load_image, path, *reading, beside=beside)

    def require_files(self) -> None:
        """As of ImageList, unless errors are to be ignored."""
        if not self.ignore_errors:
            require_images(self.image_dir, self._every())

    def _every(self):
        boxed = zip(self.paths, self.boxes, strict=True) if self.precropped else ()
        return [*self.paths, *(crop_path(path, box) for path, box in boxed if box)]


def _flat(row):
    names = []
    for cell in row:
        names.extend(cell if isinstance(cell, (list, tuple)) else [cell])
    return tuple(names)
