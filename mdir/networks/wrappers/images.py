"""Wrappers that change images on their way in, or translated images on their way out."""

import json
import math
from typing import Annotated, Literal

import numpy as np
import torch
from torch.nn.functional import pad

from cirtorch.utils.nested import map_tensors
from mdir.data.labelled import LabelledImage, tensor_of
from mdir.errors import UserError
from mdir.registry import Check, register


def each_image(function, images):
    """``function(tensor)`` for every image of nested lists; labels stay on."""

    def relabelled(image):
        if isinstance(image, LabelledImage):
            return image.with_tensor(function(image.tensor))
        return function(image)

    return map_tensors(relabelled, images)


def read_mean_std(value) -> np.ndarray:
    """``[[mean, ...], [std, ...]]``, as lists or JSON text, as a float array ``[2, C]``.

    Raises:
        ValueError: it is something else, or holds a zero std.
    """
    try:
        array = np.asarray(json.loads(value) if isinstance(value, str) else value, dtype=np.float64)
    except (ValueError, TypeError):
        array = np.empty(0)
    if array.ndim != 2 or len(array) != 2:
        raise ValueError(f"expected [[means], [stds]], got {value!r}")
    if (array[1] == 0).any():
        raise ValueError(f"a standard deviation is zero in {value!r}")
    return array


MeanStd = Annotated[str | list, Check(read_mean_std)]


class _Statistics:
    """Mean and std per channel, shaped to go with ``[..., C, H, W]``."""

    def __init__(self, mean_std):
        self.mean, self.std = torch.from_numpy(read_mean_std(mean_std)).float()[:, :, None, None]

    def on(self, tensor):
        return self.mean.to(tensor), self.std.to(tensor)

    def remove(self, tensor):
        """Normalized -> 0..1."""
        mean, std = self.on(tensor)
        return tensor * std + mean

    def apply(self, tensor):
        """0..1 -> normalized."""
        mean, std = self.on(tensor)
        return (tensor - mean) / std


class _MeanStd:
    maps_images_apart = True

    def __init__(self, outputmodel, *, in_meanstd: MeanStd, out_meanstd: MeanStd):
        self.given, self.wanted = _Statistics(in_meanstd), _Statistics(out_meanstd)

    def renormalize(self, images):
        return each_image(lambda tensor: self.wanted.apply(self.given.remove(tensor)), images)


@register("wrapper", "meanstd_pre")
class MeanStdPre(_MeanStd):
    """Re-normalizes the input: first the statistics it has, second those the network wants."""

    def preprocess(self, images):
        return self.renormalize(images), None

    def postprocess(self, output, state):
        return output


@register("wrapper", "meanstd_post")
class MeanStdPost(_MeanStd):
    """Re-normalizes the output: first the statistics it has, second those it shall get."""

    @property
    def gives_mean_std(self):
        """The normalization that images leave it with."""
        return [self.wanted.mean.flatten().tolist(), self.wanted.std.flatten().tolist()]

    def preprocess(self, images):
        return images, None

    def postprocess(self, output, state):
        return self.renormalize(output)


@register("wrapper", "rgb2bgr_pre")
class Rgb2BgrPre:
    """Reverses the three channels of the input."""

    maps_images_apart = True

    def __init__(self, outputmodel):
        pass

    def preprocess(self, images):
        return each_image(self._reverse, images), None

    def postprocess(self, output, state):
        return output

    @staticmethod
    def _reverse(tensor):
        if tensor.dim() not in (3, 4) or tensor.shape[-3] != 3:
            raise UserError(f"rgb2bgr_pre: expected 3 channels, got shape {tuple(tensor.shape)}")
        return tensor[..., [2, 1, 0], :, :]


def _check_positive(value):
    if float(value) <= 0:
        raise ValueError(f"expected a number above 0, got {value}")


@register("wrapper", "clahepost")
class ClahePost:
    """Equalizes translated images (CLAHE); no gradient passes.

    Args:
        meanstd: statistics of the output, taken off before and put back on after.
        clip: contrast limit. grid: tiles per side. space: colour space whose first channel is
            equalized.
    """

    maps_images_apart = True

    def __init__(
        self,
        outputmodel,
        *,
        meanstd: MeanStd,
        clip: Annotated[float, Check(_check_positive)] = 4.0,
        grid: Annotated[int, Check(_check_positive)] = 8,
        space: Literal["lab", "luv", "lsh"] = "lab",
    ):
        self.statistics = _Statistics(meanstd)
        self.clip, self.grid, self.space = clip, grid, space

    def preprocess(self, images):
        return images, None

    def postprocess(self, output, state):
        return each_image(self._equalize, tensor_of(output))

    def _equalize(self, tensor):
        images = self.statistics.remove(tensor.detach()).cpu()
        images = images if images.dim() == 4 else images[None]
        equalized = torch.stack([self._equalize_one(image) for image in images])
        return self.statistics.apply(equalized).reshape(tensor.shape).to(tensor.device)

    def _equalize_one(self, image):
        from mdir.data.transforms.clahe import clahe_image  # OpenCV loads with it

        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        pixels = clahe_image(pixels, self.clip, self.grid, self.space)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


@register("wrapper", "reflectpad_divisible")
class ReflectPadMakeDivisible:
    """Pads images until both sides divide by a number, and crops the output by the same.

    The border repeats the edge pixels, in spite of the name: published models were made so.
    """

    def __init__(self, outputmodel, *, divisible_by: Annotated[int, Check(_check_positive)]):
        self.divisible_by = divisible_by

    def preprocess(self, images):
        if isinstance(images, (list, tuple)):
            pairs = [self.preprocess(image) for image in images]
            return [image for image, _ in pairs], [border for _, border in pairs]
        if images is None:
            return None, None
        border = self.border(images.shape)
        return each_image(lambda tensor: pad(tensor, border, mode="replicate"), images), border

    def border(self, shape) -> tuple[int, int, int, int]:
        """Pixels to add left, right, top, bottom of an image of shape ``[..., H, W]``."""
        missing = [math.ceil(side / self.divisible_by) * self.divisible_by - side for side in shape]
        height, width = missing[-2:]
        return width // 2, width - width // 2, height // 2, height - height // 2

    def postprocess(self, output, state):
        if isinstance(output, (list, tuple)):
            return [self.postprocess(o, s) for o, s in zip(output, state, strict=True)]
        if output is None:
            return None
        left, right, top, bottom = state
        height, width = output.shape[-2:]
        return output[..., top : height - bottom, left : width - right]
