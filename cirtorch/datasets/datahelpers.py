"""Finding, opening, shrinking and collating images (published project: cnnimageretrieval)."""

import math
import os

import numpy as np
from PIL import Image, ImageFile

from cirtorch.datasets.cut_short import tell_if_cut_short
from cirtorch.datasets.orientation import oriented
from cirtorch.utils.errors import DataError, ImageError

# A photograph cut short by its camera or its download still shows most of the place.
ImageFile.LOAD_TRUNCATED_IMAGES = True

_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def cid2filename(cid, prefix):
    """Path of a training image: its identifier below three folders of its last digits.

    Args:
        cid: identifier of the image; an absolute path is returned as it is.
        prefix: folder of the images; a ``*`` in it is replaced by the path instead (``ims/*.jpg``).

    Returns:
        ``prefix/cid[-2:]/cid[-4:-2]/cid[-6:-4]/cid``.
    """
    if cid.startswith("/"):
        return cid
    path = os.path.join(cid[-2:], cid[-4:-2], cid[-6:-4], cid)
    return prefix.replace("*", path) if "*" in prefix else os.path.join(prefix, path)


def pil_loader(path, mode="RGB", upright=False):
    """Open an image file as RGB or another PIL mode of 8 bits.

    Grey levels of 16 bits are divided by 257, so that white stays white. No EXIF rotation is
    applied, as in the published projects, unless ``upright`` asks for it; a file that has one is
    told. What a file that is cut short still shows is read, as there, and told.

    Raises:
        ImageError: the file is missing, not an image, or one of floats; the message names it.
    """
    try:
        with Image.open(path) as image:
            named = path if isinstance(path, (str, os.PathLike)) else None
            if named is not None:
                tell_if_cut_short(image, path)
            return _eight_bits(oriented(image, upright, named)).convert(mode)
    except FileNotFoundError:
        raise ImageError(f"{path}: there is no such image") from None
    except _UNREADABLE as error:
        raise ImageError(f"{path}: cannot be read as an image ({error})") from error


def _eight_bits(image):
    """The image itself, or its grey levels on the scale that ``convert`` would only clip to."""
    if image.mode == "F":
        raise ValueError("its pixels are floats of an unknown range; save it with 8 or 16 bits")
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    levels = np.asarray(image)
    if image.mode == "I" and levels.max() <= 255:
        return image
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError(f"its grey levels {levels.min()} to {levels.max()} exceed 16 bits")
    return Image.fromarray(np.round(levels / 257).astype(np.uint8))


# accimage, which the published project could use instead, reads the same pixels; it is abandoned.
default_loader = accimage_loader = pil_loader


def imresize(img, imsize):
    """Shrink a PIL image in place so that its longest side is ``int(imsize)`` pixels at most.

    Lanczos filter; smaller images stay as they are. Returns the image.
    """
    side = max(int(imsize), 1)
    img.thumbnail((side, side), Image.Resampling.LANCZOS)
    return img


def pixel_box(box, path):
    """A box ``(x1, y1, x2, y2)`` in whole pixels, rounded half to even; None or empty: None.

    Raises:
        DataError: it is something else, or holds no pixel; the message names the image's path.
    """
    if box is None or len(box) == 0:
        return None
    try:
        pixels = tuple(round(float(value)) for value in box)
    except (TypeError, ValueError, OverflowError):
        pixels = ()
    if len(pixels) != 4 or pixels[2] <= pixels[0] or pixels[3] <= pixels[1]:
        raise DataError(f"{path}: the box {list(box)} is not x1, y1, x2, y2 with x1 < x2, y1 < y2")
    return pixels


def shrink_part(part, full, imsize):
    """Shrink a cut-out by the factor by which :func:`imresize` would shrink its full image.

    ``imsize`` None or infinite: the part as it is.
    """
    if imsize is None or math.isinf(imsize):
        return part
    return imresize(part, imsize * max(part.size) / max(full.size))


def flip(x, dim):
    """A tensor with the order along ``dim`` reversed."""
    return x.flip(dim)


def flatten(x):
    """List of lists -> list."""
    return [item for sublist in x for item in sublist]


def collate_tuples(batch):
    """``[(images, target), ...]`` -> (list of lists of images, list of targets), not stacked."""
    return [item[0] for item in batch], [item[1] for item in batch]
