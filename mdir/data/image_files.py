"""Opening image files as the published datasets do: crop, shrink, never enlarge."""

import gzip
import math
import os

import numpy as np

from cirtorch.datasets.datahelpers import imresize, pil_loader
from cirtorch.utils.errors import DataError


def open_image(path: str, mode: str = "RGB"):
    """Read an image file (PIL, 8 bits, as ``mode``) or an array (``.npy``, ``.npy.gz``).

    EXIF rotations are not applied, as in the published projects.

    Raises:
        DataError: the file is missing or cannot be read as an image; the message names it.
    """
    if path.endswith((".npy", ".npy.gz")):
        return _open_array(path)
    return pil_loader(path, mode)


def _open_array(path):
    try:
        with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file:
            return np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as an array ({error})") from error


def load_image(path: str, image_size: float | None = None, bbx=None, precropped: bool = False):
    """Read an image, cut out a box, shrink the longest side to ``image_size`` pixels.

    Args:
        path: image file or array; arrays are neither cut nor resized.
        image_size: floored to a whole number; None or infinity: no resizing. A crop is shrunk by
            the factor that the full image would be.
        bbx: ``(x1, y1, x2, y2)`` in pixels, rounded half to even; None or empty for no crop. Parts
            outside the image are black.
        precropped: instead of cropping, read the file ``<base>.<x1>_<y1>_<x2>_<y2>.<ext>`` beside
            the image, coordinates rounded; the full image gives the size.

    Raises:
        DataError: as :func:`open_image`, or the box is empty or not made of four numbers.
    """
    image = open_image(path)
    if isinstance(image, np.ndarray):
        return image
    longest = max(image.size)
    box = _check_box(bbx, path)
    if box is not None and precropped:
        image = open_image(crop_path(path, box))
    elif box is not None:
        image = image.crop(box)
    if image_size is None or math.isinf(image_size):
        return image
    return imresize(image, image_size * (1 if box is None else max(image.size) / longest))


def crop_path(path: str, box) -> str:
    """The file of a box cut out beforehand: ``a/b.jpg`` -> ``a/b.10_20_30_40.jpg``."""
    base, extension = os.path.splitext(path)
    return base + "." + "_".join(str(round(value + 1e-10)) for value in box) + extension


def _check_box(bbx, path):
    if bbx is None or len(bbx) == 0:
        return None
    try:
        box = tuple(float(value) for value in bbx)
    except (TypeError, ValueError):
        box = ()
    if len(box) != 4 or box[2] <= box[0] or box[3] <= box[1]:
        raise DataError(f"{path}: the box {list(bbx)} is not x1, y1, x2, y2 with x1 < x2, y1 < y2")
    return box
