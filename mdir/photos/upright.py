"""Photographs taken with the camera turned, as upright copies."""

import hashlib
from dataclasses import replace
from pathlib import Path

from PIL import Image

from cirtorch.datasets.orientation import is_turned, oriented
from cirtorch.utils.files import atomic_write
from mdir.photos.index import Photo

_QUALITY = 95  # of JPEG, colours at full resolution


def upright(photos: list[Photo], folder: Path, copies: Path) -> list[Photo]:
    """Photographs of which each is stored upright, since data sets do not look at EXIF.

    Of one that its camera noted as turned, an upright copy is written below ``copies``, and its
    ``name`` becomes the copy's absolute path (in a folder of its own, since an index may bring
    together equal names from anywhere).

    Args:
        folder: of the photographs, which stay as they are.
    """
    return [_upright(photo, folder, copies) for photo in photos]


def _upright(photo, folder, copies):
    with Image.open(folder / photo.name) as image:
        if not is_turned(image):
            return photo
        is_jpeg = image.format in ("JPEG", "MPO")
        turned = oriented(image, upright=True)
    place = hashlib.sha256(photo.name.encode(errors="surrogateescape")).hexdigest()[:8]
    name = Path(photo.name).name
    path = copies / place / (name if is_jpeg else f"{name}.png")
    with atomic_write(path) as file:
        if is_jpeg:
            turned.save(file, "JPEG", quality=_QUALITY, subsampling=0)
        else:
            turned.save(file, "PNG")
    return replace(photo, name=str(path))
