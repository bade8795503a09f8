"""Colour spaces with all channels scaled to about 0..1 (OpenCV's float conversions)."""

import cv2
import numpy as np

from mdir.data.transforms.base import Transform, need_channels
from mdir.registry import register, unknown

# space -> (OpenCV code there, code back, order of channels, offset, scale): (raw + offset) / scale
_SPACES = {
    "lab": (cv2.COLOR_RGB2Lab, cv2.COLOR_Lab2RGB, (0, 1, 2), (0, 128, 128), (100, 255, 255)),
    "luv": (cv2.COLOR_RGB2Luv, cv2.COLOR_Luv2RGB, (0, 1, 2), (0, 134, 140), (100, 354, 262)),
    "lsh": (cv2.COLOR_RGB2HLS, cv2.COLOR_HLS2RGB, (1, 2, 0), (0, 0, 0), (1, 1, 360)),
    "hsv": (cv2.COLOR_RGB2HSV, cv2.COLOR_HSV2RGB, (0, 1, 2), (0, 0, 0), (360, 1, 1)),
    "yxz": (cv2.COLOR_RGB2XYZ, cv2.COLOR_XYZ2RGB, (1, 0, 2), (0, 0, 0), (1, 1, 1)),
}
_FORWARD_ONLY = ("gray", "bgr")
_GAMMA = 2.2


def check_space(space: str, invertible: bool = False) -> str:
    """The lower-case name of a colour space; ValueError for an unknown one."""
    name = str(space).lower()
    linear = {"s" + known for known in _SPACES}
    allowed = ["rgb", *_SPACES, *sorted(linear), *(() if invertible else _FORWARD_ONLY)]
    if name not in allowed:
        raise ValueError(unknown("colour space", space, allowed))
    return name


def to_space(image: np.ndarray, space: str) -> np.ndarray:
    """RGB ``[H, W, 3]`` float32 in 0..1 -> the normalized channels of a space, float32.

    A space written with a leading ``s`` (``slab``) linearizes with exponent 2.2 first.
    """
    space = check_space(space)
    if space == "rgb":
        return image
    image = np.ascontiguousarray(image, dtype=np.float32)
    if space == "gray":
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None]
    if space == "bgr":
        return np.ascontiguousarray(image[:, :, ::-1])
    if space not in _SPACES:
        space, image = space[1:], image**_GAMMA
    forward, _, order, offset, scale = _SPACES[space]
    channels = cv2.cvtColor(image, forward)[:, :, order]
    return ((channels + np.float32(offset)) / np.float32(scale)).astype(np.float32)


def from_space(image: np.ndarray, space: str) -> np.ndarray:
    """The inverse of :func:`to_space`; OpenCV clips Lab and Luv to displayable colours."""
    space = check_space(space, invertible=True)
    if space == "rgb":
        return image
    name = space if space in _SPACES else space[1:]
    _, back, order, offset, scale = _SPACES[name]
    raw = image * np.float32(scale) - np.float32(offset)
    raw = np.ascontiguousarray(raw[:, :, np.argsort(order)], dtype=np.float32)
    rgb = cv2.cvtColor(raw, back)
    # Linear spaces can come back slightly below zero, where a power is undefined.
    return rgb if name == space else np.maximum(rgb, 0) ** np.float32(1 / _GAMMA)


@register("transform", "tospace")
class ToSpace(Transform):
    """RGB -> the normalized channels of a colour space."""

    def __init__(self, *, space: str):
        self.space = check_space(space)

    def apply(self, image):
        need_channels(image, 3, self)
        return to_space(image, self.space)


@register("transform", "add_intensity_fromrgb")
class AddIntensity(Transform):
    """Append channel 0 of a colour space of the first three channels."""

    def __init__(self, *, colorspace: str = "lab"):
        self.colorspace = check_space(colorspace)

    def apply(self, image):
        need_channels(image, 3, self)
        intensity = to_space(image[:, :, :3], self.colorspace)[:, :, :1]
        return np.concatenate([image, intensity], axis=2)
