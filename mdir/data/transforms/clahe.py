"""Contrast-limited adaptive histogram equalization of an intensity channel (OpenCV)."""

import cv2
import numpy as np

from mdir.data.transforms.base import Transform, need_channels
from mdir.data.transforms.colorspaces import check_space, from_space, to_space
from mdir.registry import register


def clahe_channel(channel: np.ndarray, clip_limit: float, grid_size: int) -> np.ndarray:
    """CLAHE of a channel ``[H, W]`` in 0..1 -> float32; quantized to 8 bits by truncation."""
    equalizer = cv2.createCLAHE(clipLimit=float(clip_limit), tileGridSize=(grid_size, grid_size))
    return equalizer.apply((channel * 255).astype(np.uint8)).astype(np.float32) / 255


def clahe_image(
    image: np.ndarray, clip_limit: float = 4.0, grid_size: int = 8, colorspace: str = "lab"
) -> np.ndarray:
    """CLAHE of channel 0 of a colour space: RGB ``[H, W, 3]`` in 0..1 -> RGB of the same dtype."""
    channels = clahe_in_space(image, clip_limit, grid_size, colorspace)
    return from_space(channels, colorspace).astype(image.dtype)


def clahe_in_space(image, clip_limit, grid_size, colorspace):
    """As :func:`clahe_image`, staying in the normalized colour space."""
    channels = np.array(to_space(image, colorspace))
    channels[:, :, 0] = clahe_channel(channels[:, :, 0], clip_limit, grid_size)
    return channels


class _Clahe(Transform):
    def __init__(self, *, clip_limit: float = 4.0, grid_size: int = 8, colorspace: str = "lab"):
        if clip_limit <= 0 or grid_size < 1:
            raise ValueError(
                f"clip limit {clip_limit} and grid size {grid_size} have to be positive"
            )
        self.clip_limit, self.grid_size = clip_limit, grid_size
        self.colorspace = check_space(colorspace, invertible=True)

    def _settings(self):
        return self.clip_limit, self.grid_size, self.colorspace


@register("transform", "apply_clahe")
class ApplyClahe(_Clahe):
    """RGB -> RGB with equalized intensity; the published models use ``apply_clahe:1.0``."""

    def apply(self, image):
        need_channels(image, 3, self)
        return clahe_image(image, *self._settings())


@register("transform", "apply_colorspaceclahe")
class ApplyColorspaceClahe(_Clahe):
    """RGB -> normalized channels of the space, channel 0 equalized."""

    def apply(self, image):
        need_channels(image, 3, self)
        return clahe_in_space(image, *self._settings())


@register("transform", "add_clahe_fromrgb")
class AddClahe(_Clahe):
    """Append the equalized channel 0 of the space of the first three channels."""

    def apply(self, image):
        need_channels(image, 3, self)
        equalized = clahe_in_space(image[:, :, :3], *self._settings())[:, :, :1]
        return np.concatenate([image, equalized], axis=2)


@register("transform", "create_clahed")
class CreateClahed(_Clahe):
    """Every image -> the image and the equalized version of its first three channels."""

    def __call__(self, *images):
        return tuple(version for image in images for version in self._pair(image))

    def _pair(self, image):
        need_channels(image, 3, self)
        return image, clahe_image(image[:, :, :3], *self._settings())
