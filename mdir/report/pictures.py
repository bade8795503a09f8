"""Pictures of a report: small copies beside the page."""

import hashlib
import io
import os
from pathlib import Path

from PIL import ImageOps

from cirtorch.datasets.datahelpers import pil_loader
from cirtorch.utils.errors import DataError
from cirtorch.utils.files import atomic_write
from mdir.artifacts import used_files
from mdir.errors import UserError

SIDE = 224  # longest side of a small copy, in pixels


class PictureFolder:
    """Keeps small JPEG copies of pictures in ``files/`` beside a page.

    The same picture is kept once; names depend on the picture's path only.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def add(self, path: str | os.PathLike, box=None, upright: bool = False) -> str:
        """Copy a picture, cropped to ``box`` (x1, y1, x2, y2 in pixels) if given.

        Args:
            upright: as the network saw it, turned or not, see
                :func:`cirtorch.datasets.datahelpers.pil_loader`.

        Returns:
            The path of the copy, relative to the page.
        """
        used_files([path])
        seen = f"{os.path.abspath(path)} {box}" + (" upright" if upright else "")
        name = f"files/{hashlib.sha256(seen.encode()).hexdigest()[:16]}.jpg"
        try:
            image = pil_loader(path, upright=upright)
        except DataError as error:
            raise UserError(f"report: {error}") from error
        if box is not None:
            image = image.crop(tuple(round(value) for value in box))
        small = ImageOps.contain(image, (SIDE, SIDE))
        buffer = io.BytesIO()
        small.save(buffer, format="JPEG", quality=88)
        with atomic_write(self.folder / name) as file:
            file.write(buffer.getvalue())
        return name


def spread(count, wanted):
    """``wanted`` positions out of ``count``, the first and the last among them."""
    if wanted >= count:
        return list(range(count))
    return sorted({round(k * (count - 1) / max(wanted - 1, 1)) for k in range(wanted)})
