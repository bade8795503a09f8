"""Cropping, resizing and mirroring."""

import math
import random

import numpy as np
from PIL import Image, ImageOps

from cirtorch.utils.errors import DataError
from mdir.data.transforms.base import Transform, image_size, parse_size
from mdir.registry import register


def crop(image, top: int, left: int, height: int, width: int):
    """Cut a box out of a PIL image or an array ``[H, W, C]``."""
    if hasattr(image, "convert"):
        return image.crop((left, top, left + width, top + height))
    return image[top : top + height, left : left + width]


def crop_centre(image, height: int, width: int, transform, half=lambda rest: rest // 2):
    """Cut the central box.

    Args:
        half: of the rest, which goes at the top and left; of an odd one, the smaller by default.
    """
    full_height, full_width = image_size(image)
    if height > full_height or width > full_width:
        raise DataError(f"{transform!r}: the image is smaller, {full_width} x {full_height} pixels")
    return crop(image, half(full_height - height), half(full_width - width), height, width)


@register("transform", "center_crop")
class CenterCrop(Transform):
    """The central ``w_h`` (or ``s``, a square) pixels.

    Of an odd rest, the larger half goes at the bottom and right; with ``half`` ``even``, the even
    one at the top and left, as torchvision rounds.
    """

    can_be_kept = True

    _HALVES = {"smaller": lambda rest: rest // 2, "even": lambda rest: round(rest / 2)}

    def __init__(self, *, size: str, half: str = "smaller"):
        if half not in self._HALVES:
            raise ValueError(f"{half!r} is not one of {', '.join(self._HALVES)}")
        self.size, self.half = parse_size(size), half

    def apply(self, image):
        return crop_centre(image, self.size[1], self.size[0], self, self._HALVES[self.half])


@register("transform", "square_crop")
class SquareCrop(Transform):
    """The central square of the short side."""

    can_be_kept = True

    def apply(self, image):
        side = min(image_size(image))
        return crop_centre(image, side, side, self)


@register("transform", "random_crop")
class RandomCrop(Transform):
    """The same ``w_h`` box at random out of all images, bounded by the smallest one."""

    def __init__(self, *, size: str):
        self.size = parse_size(size)

    def __call__(self, *images):
        heights, widths = zip(*map(image_size, images), strict=True)
        width, height = self.size
        if height > min(heights) or width > min(widths):
            raise DataError(f"{self!r}: an image of {min(widths)} x {min(heights)} is smaller")
        top = random.randint(0, min(heights) - height)
        left = random.randint(0, min(widths) - width)
        return tuple(crop(image, top, left, height, width) for image in images)


@register("transform", "downscale")
class Downscale(Transform):
    """Shrink to a longest side of ``size`` pixels where it is longer (PIL's thumbnail, Lanczos)."""

    can_be_kept = True

    def __init__(self, *, size: int):
        if size < 1:
            raise ValueError(f"size {size} has to be positive")
        self.size = size

    def apply(self, image):
        if max(image_size(image)) <= self.size:
            return image
        if hasattr(image, "convert"):
            return self._shrink(image.copy())
        pixels = np.uint8(image * 255)
        small = self._shrink(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
        array = np.asarray(small).astype(np.float32) / np.float32(255)
        return array[:, :, None] if array.ndim == 2 else array

    def _shrink(self, image):
        image.thumbnail((self.size, self.size), Image.Resampling.LANCZOS)
        return image


@register("transform", "resize_to")
class ResizeTo(Transform):
    """To ``w_h`` pixels (or ``s``, a square) in any aspect ratio, bicubic; takes a PIL image."""

    can_be_kept = True

    def __init__(self, *, size: str):
        self.size = parse_size(size)

    def apply(self, image):
        if not hasattr(image, "convert"):
            raise DataError("resize_to takes a PIL image: put it before pil2np")
        return image.resize(self.size, Image.Resampling.BICUBIC)


@register("transform", "pad")
class Pad(Transform):
    """A black margin of ``pixels`` on all sides; takes a PIL image."""

    can_be_kept = True

    def __init__(self, *, pixels: int):
        if pixels < 0:
            raise ValueError(f"pixels {pixels} is negative")
        self.pixels = pixels

    def apply(self, image):
        if not hasattr(image, "convert"):
            raise DataError("pad takes a PIL image: put it before pil2np")
        return ImageOps.expand(image, self.pixels, 0)


@register("transform", "mirror")
class Mirror(Transform):
    """Flip all images of the tuple left to right with one draw of the given probability."""

    def __init__(self, *, probability: float = 0.5):
        if not (math.isfinite(probability) and 0 <= probability <= 1):
            raise ValueError(f"probability {probability} is outside 0..1")
        self.probability = probability

    def __call__(self, *images):
        if random.random() >= self.probability:
            return images
        return tuple(map(self._flip, images))

    @staticmethod
    def _flip(image):
        if hasattr(image, "convert"):
            return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.ascontiguousarray(image[:, ::-1])
