"""Covering a part of an image, so that no single detail decides."""

import math
import random

import torch

from cirtorch.utils.errors import DataError
from mdir.data.transforms.base import Transform, parse_scale_range
from mdir.registry import register

VALUE = (0.485, 0.456, 0.406)
_LOWEST_RATIO = 0.3
_TRIES = 100


@register("transform", "random_erasing")
class RandomErasing(Transform):
    """With ``probability``: a box at random is filled; takes a tensor, after ``normalize``.

    Its area is a share ``low_high`` of the image's, its height to width 0.3 to 1 / 0.3 (Zhong et
    al., AAAI 2020). The colour is ImageNet's mean as it is before ``normalize``, as published with
    SpCL; images of other than three channels get it in the first one.
    """

    def __init__(self, *, probability: float = 0.5, area: str = "0.02_0.4"):
        if not 0 <= probability <= 1:
            raise ValueError(f"probability {probability} is outside 0..1")
        self.probability, self.area = probability, parse_scale_range(area)

    def apply(self, image):
        if not isinstance(image, torch.Tensor):
            raise DataError(f"random_erasing takes a tensor: put totensor before, got {image!r}")
        if random.uniform(0, 1) >= self.probability:
            return image
        channels, height, width = image.shape
        for _ in range(_TRIES):
            area = random.uniform(*self.area) * height * width
            ratio = random.uniform(_LOWEST_RATIO, 1 / _LOWEST_RATIO)
            tall, wide = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if wide < width and tall < height:
                top = random.randint(0, height - tall)
                left = random.randint(0, width - wide)
                filled = VALUE if channels == 3 else VALUE[:1]
                image = image.clone()
                for channel, value in enumerate(filled):
                    image[channel, top : top + tall, left : left + wide] = value
                return image
        return image
