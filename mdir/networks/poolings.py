"""Poolings by the names of scenarios: a feature map to one vector, ``[B, C, H, W] -> [B, D]``.

One is registered under kind "pooling" as a module of what :mod:`mdir.registry.components` says::

    class Pooling(nn.Module):
        def __init__(self, channels, *, ARGUMENTS): ...   # channels: C of the map, if it asks
        def forward(self, features): ...                  # -> [B, D], or [B, D, 1, 1]

With a second parameter ``prefix`` its ``forward`` receives the tokens ``[B, P, C]`` that stand
before those of the patches, too: the class token, where the backbone has one, then registers.
"""

from typing import Annotated

from torch import nn

from cirtorch.layers import pooling as layers
from mdir import registry
from mdir.registry import ComponentError, Problem, Section, register
from mdir.registry.ranges import above, at_least

PoolingSection = str | Annotated[dict, Section("pooling")]
Exponent = Annotated[float, above(0)]
Levels = Annotated[int, at_least(1)]


def check_pooling(value):
    """Every :class:`Problem` of a pooling that is named by text alone."""
    if not isinstance(value, str) or registry.is_unresolved(value):
        return
    try:
        component = registry.lookup("pooling", value)
    except ComponentError as error:
        yield from error.problems
        return
    for problem in registry.check_parameters(component, {}, what=f"pooling {value}"):
        yield Problem((), f"{problem.message}; write it as a mapping {{type: {value}, ...}}")


def make_pooling(section: str | dict, channels: int) -> nn.Module:
    """The pooling of a checked section for maps of so many channels."""
    section = {"type": section} if isinstance(section, str) else section
    component = registry.lookup("pooling", section["type"])
    given = (channels,) if registry.takes(component, "channels") else ()
    return registry.make("pooling", section, *given)


@register("pooling", "mac")
class Mac(layers.MAC):
    """Maximum over all locations."""


@register("pooling", "spoc")
class Spoc(layers.SPoC):
    """Mean over all locations."""


@register("pooling", "gem")
class Gem(layers.GeM):
    """Generalized mean with one learned exponent.

    Args:
        p: the exponent to begin with.
        eps: least value of a feature.
    """

    def __init__(self, *, p: Exponent = 3.0, eps: Exponent = 1e-6):
        super().__init__(p, eps)


@register("pooling", "gemmp")
class Gemmp(layers.GeMmp):
    """Generalized mean with one learned exponent a channel; for arguments see ``gem``."""

    def __init__(self, channels, *, p: Exponent = 3.0, eps: Exponent = 1e-6):
        super().__init__(p, channels, eps)


@register("pooling", "rmac")
class Rmac(layers.RMAC):
    """Sum of the normalized maxima of regions.

    Args:
        levels: sizes of regions.
    """

    def __init__(self, *, levels: Levels = 3):
        super().__init__(levels)


@register("pooling", "rgem")
class Rgem(layers.Rpool):
    """Sum of the normalized generalized means of regions; one learned exponent.

    Args:
        p: the exponent to begin with.
        levels: sizes of regions.
    """

    def __init__(self, *, p: Exponent = 3.0, levels: Levels = 3):
        super().__init__(layers.GeM(p), L=levels)


@register("pooling", "median")
class Median(layers.GeometricMedianWeiszfeld):
    """Geometric median of the locations.

    Args:
        iterations: of Weiszfeld's algorithm.
        intermediate_gradients: false: its weights are constants for the gradient.
    """

    def __init__(self, *, iterations: Levels = 3, intermediate_gradients: bool = True):
        super().__init__(iterations, intermediate_gradients)


@register("pooling", "cls")
class Cls(nn.Module):
    """The class token of a transformer."""

    needs_class_token = True

    def forward(self, features, prefix):
        return prefix[:, 0]
