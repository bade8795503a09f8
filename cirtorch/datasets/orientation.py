"""Pictures that the camera noted as turned (EXIF)."""

from PIL import ExifTags, Image, ImageOps

from cirtorch.datasets.told import Told

_UPRIGHT = 1
_tell = Told("was taken with the camera turned (EXIF) and is read as it lies")


def _orientation(image):
    if image.format == "TIFF":  # Pillow turns them itself
        return _UPRIGHT
    try:
        return image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT)
    except Exception:  # a damaged header makes the parser stumble in many ways
        return _UPRIGHT


def is_turned(image: Image.Image) -> bool:
    """Whether an image is to be turned or mirrored to be seen upright."""
    return _orientation(image) in range(2, 9)  # 0: not known


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an image once it is turned."""
    return image.size[::-1] if _orientation(image) in range(5, 9) else image.size


def oriented(image: Image.Image, upright: bool, path=None) -> Image.Image:
    """An image as it is to be read: ``upright``, or as it lies in its file, which is told.

    Args:
        path: of the file, for the warning; None: nothing is told.
    """
    if not is_turned(image):
        return image
    if upright:
        return ImageOps.exif_transpose(image)
    if path is not None:
        _tell(path)
    return image
