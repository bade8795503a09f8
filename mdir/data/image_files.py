"""Opening image files as the published datasets do: crop, shrink, never enlarge."""

import gzip
import math
import os

import numpy as np
from PIL import Image, ImageFile

from cirtorch.utils.errors import DataError

# A photograph cut short by its camera or its download still shows most of the place.
ImageFile.LOAD_TRUNCATED_IMAGES = True

_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def open_image(path: str, mode: str = "RGB"):
    """Read an image file (PIL, converted to ``mode``) or an array (``.npy``, ``.npy.gz``).

    EXIF rotations are not applied, as in the published projects.

    Raises:
        DataError: the file is missing or cannot be read as an image; the message names it.
    """
    try:
        if path.endswith(".npy"):
            return np.load(path, allow_pickle=False)
        if path.endswith(".npy.gz"):
            with gzip.open(path) as file:
                return np.load(file, allow_pickle=False)
        with Image.open(path) as image:
            return image.convert(mode)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such image") from None
    except _UNREADABLE as error:
        raise DataError(f"{path}: cannot be read as an image ({error})") from error


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
    limit = image_size if box is None else image_size * max(_box_size(box)) / longest
    return shrink(image, limit)


def shrink(image, limit: float):
    """PIL's thumbnail (Lanczos) with the longest side at most ``int(limit)`` pixels, at least 1."""
    side = max(int(limit), 1)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


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
    if len(box) != 4 or min(_box_size(box)) <= 0:
        raise DataError(f"{path}: the box {list(bbx)} is not x1, y1, x2, y2 with x1 < x2, y1 < y2")
    return box


def _box_size(box):
    return box[2] - box[0], box[3] - box[1]
