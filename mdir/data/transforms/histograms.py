"""Bringing the intensities of an image to a given distribution or mean.

``histograms.npz`` holds the three named target histograms of the published project (constants of
its authors, 256 counts each, float64): ``f3d_lab``, ``b166b47`` and ``2cd274e``.
"""

import functools
import math
from pathlib import Path

import numpy as np
from scipy.optimize import newton

from cirtorch.utils.errors import DataError
from mdir.data.transforms.base import Transform, need_channels
from mdir.data.transforms.colorspaces import check_space, from_space, to_space
from mdir.registry import register, unknown

_EDGES = np.linspace(-1 / 510, 1 + 1 / 510, 257)
_CENTERS = np.linspace(0, 1, 256)
_EXPONENTS = (0.1, 10.0)


@functools.cache
def named_histograms() -> dict[str, np.ndarray]:
    """Cumulative sums ``[256]`` of the named target histograms, by name."""
    with np.load(Path(__file__).with_name("histograms.npz")) as file:
        return {name: np.cumsum(file[name]) for name in file.files}


def check_target(target: str) -> str:
    """The name of a target as it is; ValueError for an unknown one."""
    allowed = ["eq", *named_histograms()]
    if target not in allowed:
        raise ValueError(unknown("target histogram", target, allowed))
    return target


def distribution(channel: np.ndarray) -> np.ndarray:
    """Cumulative distribution ``[256]`` of a channel in 0..1 over 256 equal bins."""
    return np.cumsum(np.histogram(channel, bins=_EDGES)[0]) / channel.size


def match_channel(channel: np.ndarray, target) -> np.ndarray:
    """Match a channel's distribution to ``"eq"``, a named one, or a cumulative one ``[256]``."""
    cumulative = distribution(channel)
    if isinstance(target, str):
        target = None if target == "eq" else named_histograms()[target]
    if target is not None:
        cumulative = np.interp(cumulative, target, _CENTERS)
    return np.interp(channel, _CENTERS, cumulative).astype(np.float32)


def gamma_exponent(channel: np.ndarray, target: float) -> float:
    """The exponent that brings the mean of ``channel ** exponent`` to ``target``, in 0.1..10."""
    values = channel.astype(np.float64)
    mean = float(values.mean())
    if not 0 < mean < 1:
        return 1.0  # black and white images have the same mean for every exponent

    def residual(exponent):
        return float(np.mean(values**exponent)) - target

    try:
        exponent = newton(residual, math.log(target) / math.log(mean), tol=1e-4, maxiter=50)
    except RuntimeError:
        exponent = min(_EXPONENTS, key=lambda bound: abs(residual(bound)))
    return float(np.clip(exponent, *_EXPONENTS))


@register("transform", "match_histogram")
class MatchHistogram(Transform):
    """Match channel 0 of a colour space to a target distribution; RGB -> RGB."""

    def __init__(self, *, target: str, colorspace: str = "lab"):
        self.target = check_target(target)
        self.colorspace = check_space(colorspace, invertible=True)

    def apply(self, image):
        need_channels(image, 3, self)
        channels = np.array(to_space(image, self.colorspace))
        channels[:, :, 0] = match_channel(channels[:, :, 0], self.target)
        return from_space(channels, self.colorspace)


@register("transform", "replace_histogram")
class ReplaceHistogram(Transform):
    """Append (or put in its place) the last channel of the first image, matched to a target.

    With exactly two images the target is the last channel of the second, which then loses it; the
    name of a target does not matter then.
    """

    def __init__(self, *, target: str, mode: str):
        self.target = target
        if mode not in ("append", "replace"):
            raise ValueError(unknown("mode", mode, ["append", "replace"]))
        self.mode = mode

    def __call__(self, *images):
        first, others, target = images[0], images[1:], self.target
        if len(others) == 1:
            need_channels(others[0], 2, self)
            target = distribution(others[0][:, :, -1])
            others = (others[0][:, :, :-1],)
        else:
            self._require_known()
        matched = match_channel(first[:, :, -1], target)[:, :, None]
        kept = first[:, :, :-1] if self.mode == "replace" else first
        return (np.concatenate([kept, matched], axis=2), *others)

    def _require_known(self):
        try:
            check_target(self.target)
        except ValueError as error:
            raise DataError(f"{self!r}: {error}") from None


@register("transform", "gamma_equalize")
class GammaEqualize(Transform):
    """Raise channel 0 of a colour space to the power that gives it the target mean."""

    def __init__(self, *, target: float, colorspace: str = "lab"):
        if not 0 < target < 1:
            raise ValueError(f"target {target} has to lie between 0 and 1")
        self.target = target
        self.colorspace = check_space(colorspace, invertible=True)

    def apply(self, image):
        need_channels(image, 3, self)
        channels = np.array(to_space(image, self.colorspace))
        exponent = gamma_exponent(channels[:, :, 0], self.target)
        channels[:, :, 0] = np.maximum(channels[:, :, 0], 0) ** np.float32(exponent)
        return from_space(channels, self.colorspace)
