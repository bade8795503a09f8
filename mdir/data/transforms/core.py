"""From a PIL image to a normalized tensor."""

import numpy as np
import torch

from cirtorch.utils.errors import DataError
from mdir.data.transforms.base import Transform
from mdir.registry import register

_RANGES = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


@register("transform", "pil2np")
class Pil2Numpy(Transform):
    """PIL image -> RGB array ``[H, W, 3]`` float32 in 0..1; integer arrays are scaled alike."""

    can_be_kept = True

    def apply(self, image):
        if hasattr(image, "convert"):
            image = np.asarray(image.convert("RGB"))
        elif not isinstance(image, np.ndarray):
            raise DataError(
                f"pil2np takes a PIL image or a NumPy array, got {type(image).__name__}"
            )
        array = image.astype(np.float32)
        return array / np.float32(_RANGES[image.dtype]) if image.dtype in _RANGES else array


@register("transform", "totensor")
class ToTensor(Transform):
    """Array ``[H, W, C]`` -> tensor ``[C, H, W]``, values as they are; PIL images pass pil2np."""

    can_be_kept = True

    def apply(self, image):
        if hasattr(image, "convert"):
            image = Pil2Numpy().apply(image)
        if not isinstance(image, np.ndarray) or image.ndim not in (2, 3):
            shape = getattr(image, "shape", type(image).__name__)
            raise DataError(f"totensor takes an array [H, W, C], got {shape}")
        array = image[:, :, None] if image.ndim == 2 else image
        return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))


@register("transform", "normalize")
class Normalize(Transform):
    """``(x - mean) / std`` of each channel of a tensor ``[C, H, W]``.

    ``strict`` demands as many channels as means; otherwise fewer channels use the first entries.
    """

    def __init__(self, mean: list, std: list, *, strict: bool = True):
        if len(mean) != len(std) or any(value == 0 for value in std):
            raise ValueError(
                f"mean {mean} and std {std} need equal lengths, and no std may be zero"
            )
        self.mean, self.std, self.strict_shape = list(mean), list(std), strict

    def apply(self, image):
        if not isinstance(image, torch.Tensor):
            raise DataError(f"normalize takes a tensor: put totensor before it, got {type(image)}")
        channels, known = image.shape[0], len(self.mean)
        if channels > known or (self.strict_shape and channels != known):
            raise DataError(
                f"normalize: an image of {channels} channels does not fit {known} means "
                "(normalize:false admits fewer channels than means)"
            )
        mean = torch.tensor(self.mean[:channels], dtype=image.dtype).view(-1, 1, 1)
        std = torch.tensor(self.std[:channels], dtype=image.dtype).view(-1, 1, 1)
        return (image - mean) / std


@register("transform", "stackbatch")
class StackBatch(Transform):
    """All images joined along axis 0 into one tensor (no new axis)."""

    def __call__(self, *images):
        return (torch.cat(images, dim=0),)


@register("transform", "nan_check")
class NanCheck(Transform):
    """Raise a :class:`DataError` where an image holds NaN."""

    def apply(self, image):
        if bool(torch.isnan(torch.as_tensor(image)).any()):
            raise DataError("nan_check: an image holds NaN after the transforms before it")
        return image
