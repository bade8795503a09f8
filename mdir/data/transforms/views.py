"""Views of a PIL image for contrastive learning; random numbers come from torch's generator."""

import torch
from torchvision import transforms as tv
from torchvision.transforms import functional as F

from mdir.data.transforms.base import Transform, parse_scale_range, parse_size
from mdir.registry import register

RATIO_LIMITS = (3 / 4, 4 / 3)


@register("transform", "resize")
class Resize(Transform):
    """Bring the short side of a PIL image to ``size`` pixels (bilinear, antialiased)."""

    can_be_kept = True

    def __init__(self, *, size: int):
        if size < 1:
            raise ValueError(f"size {size} has to be positive")
        self.size = size

    def apply(self, image):
        return F.resize(image, self.size)


@register("transform", "random_resized_crop")
class RandomResizedCrop(Transform):
    """A box of random area (``low_high`` of the image's) and ratio (3/4 to 4/3), resized."""

    def __init__(self, *, size: str, scale: str = "0.2_1.0"):
        self.size, self.scale = parse_size(size), parse_scale_range(scale)

    def apply(self, image):
        box = tv.RandomResizedCrop.get_params(image, list(self.scale), list(RATIO_LIMITS))
        return F.resized_crop(image, *box, [self.size[1], self.size[0]])


def ratio_box(width: int, height: int) -> tuple[int, int, int, int]:
    """The largest central box whose width / height lies in 3/4..4/3: (top, left, height, width)."""
    low, high = RATIO_LIMITS
    box_width, box_height = width, height
    if width / height > high:
        box_width = round(height * high)
    elif width / height < low:
        box_height = round(width / low)
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


@register("transform", "random_warp")
class RandomWarp(Transform):
    """A random quadrilateral of a PIL image made a rectangle, as from another point of view.

    Its corners are those of a box of random area (``low_high`` of the image's) and ratio (3/4 to
    4/3 of the image's), each moved inwards by up to ``distortion`` of the box's sides.
    """

    def __init__(self, *, scale: str = "0.3_1.0", distortion: float = 0.2):
        if not 0 <= distortion < 0.5:
            raise ValueError(f"distortion {distortion} is outside 0..0.5")
        self.scale, self.distortion = parse_scale_range(scale), distortion

    def apply(self, image):
        ratios = [limit * image.width / image.height for limit in RATIO_LIMITS]
        box = tv.RandomResizedCrop.get_params(image, list(self.scale), ratios)
        top, left, height, width = box
        most = torch.tensor([width, height]) * self.distortion
        inwards = torch.tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]])
        corners = torch.tensor([[0, 0], [width, 0], [width, height], [0, height]])
        found = corners + torch.tensor([left, top]) + inwards * most * torch.rand(4, 2)
        bilinear = F.InterpolationMode.BILINEAR
        warped = F.perspective(image, found.tolist(), corners.tolist(), bilinear)
        return warped.crop((0, 0, width, height))


@register("transform", "ratio_crop")
class RatioCrop(Transform):
    """:func:`ratio_box`, resized to ``w_h`` without keeping its ratio.

    This is what OSSCo's published random crop amounts to: its scales of one and above never fit
    into the image, so that the central fallback is always taken.
    """

    can_be_kept = True

    def __init__(self, *, size: str):
        self.size = parse_size(size)

    def apply(self, image):
        return F.resized_crop(image, *ratio_box(*image.size), [self.size[1], self.size[0]])


@register("transform", "color_jitter")
class ColorJitter(Transform):
    """With ``probability``: brightness, contrast, saturation and hue changes in random order."""

    def __init__(
        self,
        *,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.1,
        probability: float = 0.8,
    ):
        self._jitter = tv.ColorJitter(brightness, contrast, saturation, hue)
        self.strengths, self.probability = (brightness, contrast, saturation, hue), probability

    def apply(self, image):
        return self._jitter(image) if torch.rand(()) < self.probability else image


@register("transform", "random_gray")
class RandomGray(Transform):
    """With ``probability``: three equal channels of grey."""

    def __init__(self, *, probability: float = 0.2):
        self.probability = probability

    def apply(self, image):
        return F.rgb_to_grayscale(image, 3) if torch.rand(()) < self.probability else image


@register("transform", "random_mirror")
class RandomMirror(Transform):
    """With ``probability``: left to right, drawn for each image by itself."""

    def __init__(self, *, probability: float = 0.5):
        self.probability = probability

    def apply(self, image):
        return F.hflip(image) if torch.rand(()) < self.probability else image
