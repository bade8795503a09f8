"""Cutting a window and resizing it: the augmentation of the image translation methods."""

import math
import random

import cv2
import numpy as np

from cirtorch.utils.errors import DataError
from mdir.data.transforms.base import Transform, image_size, parse_scale_range, parse_size
from mdir.registry import register


@register("transform", "scalecrop")
class ScaleCrop(Transform):
    """The same random window out of all images, resized to ``w_h`` (bilinear, no antialiasing).

    The scale ``s`` is uniform in ``lo_hi``, the window ``size / s`` pixels, bounded by the smallest
    image, which has to hold that of ``hi``. Images that have the target's size already pass
    unchanged without a random draw.
    """

    def __init__(self, *, size: str, scale: str = "0.5_0.8"):
        self.size = parse_size(size)
        self.scale = parse_scale_range(scale)

    def __call__(self, *images):
        width, height = self.size
        sizes = [image_size(image) for image in images]
        if len(set(sizes[:2])) == 1 and sizes[0] == (height, width):
            return images
        bound = (min(h for h, _ in sizes), min(w for _, w in sizes))
        low, high = self.scale
        lowest = max(height / bound[0], width / bound[1], low)
        if lowest > high:
            raise DataError(
                f"{self!r}: an image of {bound[1]} x {bound[0]} pixels is smaller than the size "
                f"divided by {high}"
            )
        scale = random.random() * (high - lowest) + lowest
        window = _window(self.size, scale, bound)
        top = random.randint(0, bound[0] - window[0])
        left = random.randint(0, bound[1] - window[1])
        return tuple(_cut(image, (top, left), window, self.size) for image in images)


@register("transform", "centerscalecrop")
class CenterScaleCrop(Transform):
    """As ``scalecrop`` with one scale and the central window."""

    def __init__(self, *, size: str, scale: float = 0.6):
        if not scale > 0:
            raise ValueError(f"scale {scale} has to be positive")
        self.size, self.scale = parse_size(size), scale

    def __call__(self, *images):
        width, height = self.size
        sizes = [image_size(image) for image in images]
        if len(set(sizes[:2])) == 1 and sizes[0] == (height, width):
            return images
        bound = (min(h for h, _ in sizes), min(w for _, w in sizes))
        scale = max(height / bound[0], width / bound[1], self.scale)
        _need_room(scale, bound, self)
        window = _window(self.size, scale, bound)
        corner = ((bound[0] - window[0]) // 2, (bound[1] - window[1]) // 2)
        return tuple(_cut(image, corner, window, self.size) for image in images)


def _need_room(scale, bound, transform):
    if scale > 1 and (transform.size[1] > bound[0] or transform.size[0] > bound[1]):
        raise DataError(
            f"{transform!r}: an image of {bound[1]} x {bound[0]} pixels is smaller than that"
        )


def _window(size, scale, bound):
    # Rounding may put the exact fit one pixel over the edge.
    return (
        min(math.ceil(size[1] / scale), bound[0]),
        min(math.ceil(size[0] / scale), bound[1]),
    )


def _cut(image, corner, window, size):
    if hasattr(image, "convert"):
        image = np.asarray(image)
    box = image[corner[0] : corner[0] + window[0], corner[1] : corner[1] + window[1]]
    resized = cv2.resize(np.ascontiguousarray(box), size, interpolation=cv2.INTER_LINEAR)
    return resized[:, :, None] if resized.ndim == 2 else resized
