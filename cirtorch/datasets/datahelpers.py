"""Finding, opening, shrinking and collating images (published project: cnnimageretrieval)."""

import os

from PIL import Image, ImageFile

from cirtorch.utils.errors import ImageError

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


def pil_loader(path):
    """Open an image file as RGB; its EXIF rotation is not applied.

    Raises:
        ImageError: the file is missing or no image; the message names it.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise ImageError(f"{path}: there is no such image") from None
    except _UNREADABLE as error:
        raise ImageError(f"{path}: cannot be read as an image ({error})") from error


# accimage, which the published project could use instead, reads the same pixels; it is no more.
default_loader = accimage_loader = pil_loader


def imresize(img, imsize):
    """Shrink a PIL image in place so that its longest side is ``int(imsize)`` pixels at most.

    Lanczos filter; smaller images stay as they are. Returns the image.
    """
    side = max(int(imsize), 1)
    img.thumbnail((side, side), Image.Resampling.LANCZOS)
    return img


def flip(x, dim):
    """A tensor with the order along ``dim`` reversed."""
    return x.flip(dim)


def flatten(x):
    """List of lists -> list."""
    return [item for sublist in x for item in sublist]


def collate_tuples(batch):
    """``[(images, target), ...]`` -> (list of lists of images, list of targets), not stacked."""
    return [item[0] for item in batch], [item[1] for item in batch]
