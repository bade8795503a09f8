"""Resizing without regard to the aspect ratio."""

from PIL import Image

from cirtorch.utils.errors import DataError
from mdir.data.transforms.base import Transform, parse_size
from mdir.registry import register


@register("transform", "resize_to")
class ResizeTo(Transform):
    """PIL image -> ``w_h`` pixels (or ``s``, a square), bicubic, as CycleGAN's training data."""

    def __init__(self, *, size: str):
        self.size = parse_size(size)

    def apply(self, image):
        if not hasattr(image, "convert"):
            raise DataError("resize_to takes a PIL image: put it before pil2np")
        return image.resize(self.size, Image.Resampling.BICUBIC)
