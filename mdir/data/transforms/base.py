"""What every transform shares, and how its text arguments are read."""

import math

from cirtorch.utils.errors import DataError


class Transform:
    """Base of all transforms.

    A transform is called with all images of a tuple at once and returns a tuple of images. Between
    ``pil2np`` and ``totensor`` an image is a NumPy array ``[H, W, C]``, float32 in 0..1; before, it
    is a PIL image; after, a tensor ``[C, H, W]``. Random numbers come from the global
    generators of Python's ``random``, NumPy or torch, which the loader seeds for each sample.

    Keyword-only parameters of the constructor are the arguments of the text, in order; positional
    ones (``mean, std``) come from the ``mean_std`` of the data section. Arguments are converted by
    their annotation (int, float, bool, str); a constructor raises ValueError for a bad one.

    Attributes:
        can_be_kept: what it makes of an image depends on its pixels and what ``repr`` shows alone,
            and is no more than 8 bits a value: see :mod:`mdir.data.decoded_cache`. A class says so
            of itself; those made of it do not inherit it.
    """

    can_be_kept = False

    def __call__(self, *images) -> tuple:
        return tuple(self.apply(image) for image in images)

    def apply(self, image):
        """Transform one image; families that look at several images override ``__call__``."""
        return image

    def __repr__(self):
        fields = (f"{key}={value}" for key, value in vars(self).items() if key[0] != "_")
        return f"{type(self).__name__}({', '.join(fields)})"


def parse_size(text: str) -> tuple[int, int]:
    """``"w_h"`` or ``"s"`` (a square) -> ``(width, height)`` in pixels."""
    parts = str(text).split("_")
    try:
        numbers = [int(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or min(numbers) < 1:
        raise ValueError(f"{text!r} is not a size: expected width_height in pixels, like 256_256")
    return numbers[0], numbers[-1]


def parse_scale_range(text: str) -> tuple[float, float]:
    """``"lo_hi"`` -> two numbers with 0 < lo <= hi."""
    try:
        low, high = (float(part) for part in str(text).split("_"))
    except ValueError:
        low = high = math.nan
    if not 0 < low <= high:
        raise ValueError(f"{text!r} is not a range of scales: expected low_high, such as 0.5_0.8")
    return low, high


def parse_end(text: str | None) -> int | None:
    """The end of a channel range: a number, or None for ``unset``, ``null`` and empty text."""
    if text in (None, "", "unset", "null"):
        return None
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a channel number (or null)") from None


def image_size(image) -> tuple[int, int]:
    """``(height, width)`` of a PIL image or an array ``[H, W, C]``."""
    if hasattr(image, "convert"):
        return image.size[1], image.size[0]
    return image.shape[0], image.shape[1]


def need_channels(image, count: int, transform) -> None:
    """Raise a :class:`DataError` unless the array has at least ``count`` channels."""
    if image.ndim != 3 or image.shape[2] < count:
        raise DataError(
            f"{transform!r} needs an image with {count} or more channels, got {image.shape}"
        )
