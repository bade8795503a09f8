"""Opening image files as the published datasets do: crop, shrink, never enlarge."""

import gzip
import os

import numpy as np

from cirtorch.datasets.datahelpers import pil_loader, pixel_box, shrink_part
from cirtorch.utils.errors import DataError
from cirtorch.utils.memory import bounded_memory

_GROWTH = 64  # bytes of an array for one of its file, which may be packed


def open_image(path: str, mode: str = "RGB", upright: bool = False):
    """Read an image file (PIL, 8 bits, as ``mode``) or an array (``.npy``, ``.npy.gz``).

    EXIF rotations are applied to own pictures alone (``upright``); sets are read as published.

    Raises:
        DataError: the file is missing or cannot be read as an image; the message names it.
    """
    if path.endswith((".npy", ".npy.gz")):
        return _open_array(path)
    return pil_loader(path, mode, upright)


def _open_array(path):
    try:
        with (
            gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file,
            bounded_memory(_GROWTH * os.path.getsize(path)),
        ):
            return np.lib.format.read_array(file, allow_pickle=False)
    except MemoryError:
        raise DataError(
            f"{path}: cannot be read as an array (it asks for far more memory than it is long)"
        ) from None
    except Exception as error:  # a damaged header makes the parser stumble in many ways
        raise DataError(f"{path}: cannot be read as an array ({error})") from error


def load_image(
    path: str,
    image_size: float | None = None,
    bbx=None,
    precropped: bool = False,
    upright: bool = False,
    mode: str = "RGB",
):
    """Read an image, cut out a box, shrink the longest side to ``image_size`` pixels.

    Args:
        path: image file or array; arrays are neither cut nor resized.
        image_size: floored to a whole number; None or infinity: no resizing. A crop is shrunk by
            the factor that the full image would be.
        bbx: ``(x1, y1, x2, y2)`` in pixels, rounded half to even; None or empty for no crop. Parts
            outside the image are black.
        precropped: instead of cropping, read the file ``<base>.<x1>_<y1>_<x2>_<y2>.<ext>`` beside
            the image, coordinates rounded; the full image gives the size.
        upright, mode: see :func:`open_image`; the box is one of the turned image.

    Raises:
        DataError: as :func:`open_image`, or the box is empty or not made of four numbers.
    """
    image = open_image(path, mode, upright)
    if isinstance(image, np.ndarray):
        return image
    box, part = pixel_box(bbx, path), image
    if box is not None:
        part = open_image(crop_path(path, bbx), mode, upright) if precropped else image.crop(box)
    return shrink_part(part, image, image_size)


def open_through(transform, function, path: str, *arguments, beside: str | None = None):
    """``function(path, *arguments)``, an image, as an input of a pipeline.

    A pipeline that keeps decoded images (:class:`mdir.data.decoded_cache.CachedCompose`) may give
    what it kept instead, which it alone can go on with.

    Args:
        transform: the pipeline, or any function of images.
        function: of a module, of nothing but its arguments and the files.
        beside: another file that the image depends on.
    """
    opener = getattr(transform, "open_image", None)
    if opener is None:
        return function(path, *arguments)
    return opener(function, path, *arguments, beside=beside)


def crop_path(path: str, box) -> str:
    """The file of a box cut out beforehand: ``a/b.jpg`` -> ``a/b.10_20_30_40.jpg``."""
    base, extension = os.path.splitext(path)
    return base + "." + "_".join(str(round(float(value) + 1e-10)) for value in box) + extension


def as_seen(dataset) -> dict[str, bool]:
    """What rankings and the like note of each picture: ``upright`` of sets that turn theirs."""
    return {"upright": True} if getattr(dataset, "are_own", False) else {}
