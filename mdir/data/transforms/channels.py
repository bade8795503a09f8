"""Adding, inverting, choosing, ordering and scaling channels of images ``[H, W, C]``."""

import numpy as np
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir.data.transforms.base import Transform, parse_end
from mdir.registry import register


@register("transform", "add_const")
class AddConst(Transform):
    """Append a channel of one value."""

    def __init__(self, *, value: float):
        self.value = value

    def apply(self, image):
        constant = np.full((*image.shape[:2], 1), self.value, dtype=image.dtype)
        return np.concatenate([image, constant], axis=2)


@register("transform", "np_invert_chan")
class InvertChannel(Transform):
    """Replace channel ``channel`` by one minus it."""

    def __init__(self, *, channel: int):
        self.channel = channel

    def apply(self, image):
        if not -image.shape[2] <= self.channel < image.shape[2]:
            raise DataError(f"{self!r}: the image has {image.shape[2]} channels")
        image = image.copy()
        image[:, :, self.channel] = 1 - image[:, :, self.channel]
        return image


@register("transform", "bgr")
class ReverseChannels(Transform):
    """RGB to BGR, the order of networks that Caffe trained; takes a PIL image or an array."""

    can_be_kept = True

    def apply(self, image):
        if hasattr(image, "convert"):
            return Image.fromarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
        return np.ascontiguousarray(image[:, :, ::-1])


@register("transform", "multiply")
class Multiply(Transform):
    """Values of an array or a tensor times ``factor``: 255 gives what Caffe's networks take."""

    def __init__(self, *, factor: float):
        self.factor = factor

    def apply(self, image):
        if hasattr(image, "convert"):
            raise DataError(f"{self!r} takes an array or a tensor: put pil2np or totensor before")
        return image * self.factor


class _Range(Transform):
    def __init__(self, *, start: int, end: str = "unset"):
        self.start, self.end = start, end
        self._stop = parse_end(end)

    def _select(self, image, stop):
        channels = image[:, :, self.start : stop]
        if channels.shape[2] == 0:
            raise DataError(f"{self!r} selects none of the {image.shape[2]} channels")
        return channels


@register("transform", "np_chanselect")
class SelectChannels(_Range):
    """Keep channels ``start:end``; without an end, to the last one."""

    def apply(self, image):
        return self._select(image, self._stop)


@register("transform", "np_chanclone")
class CloneChannels(_Range):
    """Append a copy of channel ``start``, or of ``start:end`` (``null``: to the last one)."""

    def apply(self, image):
        single = self.start + 1 if self.start != -1 else None
        clones = self._select(image, single if self.end == "unset" else self._stop)
        return np.concatenate([image, clones], axis=2)
