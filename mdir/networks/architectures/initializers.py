"""Random weights by name, drawn layer by layer in registration order, weight before bias.

The caller seeds torch's generator right before. ``p2p`` names are those of pix2pix and CycleGAN
with gandtr's default gain of 0.2; the original authors used 0.02.
"""

import math
from collections.abc import Callable

from torch import nn

from mdir.registry import register


@register("initializer", "default")
def default(module: nn.Module) -> None:
    """Keep the weights that the constructor made."""


@register("initializer", "normal_p2p")
def normal_p2p(module: nn.Module, *, init_gain: float = 0.2) -> None:
    """Weights from N(0, gain), batch norm scales from N(1, gain), biases 0."""
    _p2p(module, lambda weight: init_gain, init_gain)


@register("initializer", "kaiming_p2p")
def kaiming_p2p(module: nn.Module, *, init_gain: float = 0.2) -> None:
    """Weights from N(0, sqrt(2/fan_in)), batch norm scales from N(1, gain), biases 0."""
    _p2p(module, lambda weight: math.sqrt(2 / _fans(weight)[0]), init_gain)


@register("initializer", "xavier_p2p")
def xavier_p2p(module: nn.Module, *, init_gain: float = 0.2) -> None:
    """Weights from N(0, gain * sqrt(2/(fan_in+fan_out))), batch norm scales N(1, gain)."""
    _p2p(module, lambda weight: init_gain * math.sqrt(2 / sum(_fans(weight))), init_gain)


@register("initializer", "he_normal")
def he_normal(module: nn.Module) -> None:
    """Weights from N(0, sqrt(2/fan_in)), biases 0.01; norms stay."""

    def draw(layer):
        nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / _fans(layer.weight)[0]))
        if layer.bias is not None:
            nn.init.constant_(layer.bias, 0.01)

    _visit(module, draw)


@register("initializer", "normal")
def normal(module: nn.Module) -> None:
    """Weights and biases from N(0, 1); norms stay."""
    _draw_both(module, nn.init.normal_)


@register("initializer", "uniform")
def uniform(module: nn.Module) -> None:
    """Weights and biases from U(0, 1); norms stay."""
    _draw_both(module, nn.init.uniform_)


def _p2p(module, deviation: Callable, norm_gain: float) -> None:
    def draw(layer):
        nn.init.normal_(layer.weight, 0.0, deviation(layer.weight))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)

    def draw_norm(layer):
        nn.init.normal_(layer.weight, 1.0, norm_gain)
        nn.init.zeros_(layer.bias)

    _visit(module, draw, draw_norm)


def _draw_both(module, fill: Callable) -> None:
    def draw(layer):
        fill(layer.weight)
        if layer.bias is not None:
            fill(layer.bias)

    _visit(module, draw)


def _visit(module, draw: Callable, draw_norm: Callable | None = None) -> None:
    """Call ``draw`` on convolutions and linear layers, ``draw_norm`` on affine batch norms."""

    def visit(layer):
        kind = type(layer).__name__
        if ("Conv" in kind or "Linear" in kind) and getattr(layer, "weight", None) is not None:
            draw(layer)
        elif draw_norm is not None and "BatchNorm2d" in kind and layer.affine:
            draw_norm(layer)

    module.apply(visit)


def _fans(weight) -> tuple[int, int]:
    """(fan in, fan out) by position of the axes: swapped for transposed convolutions, as ever."""
    field = math.prod(weight.shape[2:])
    return weight.shape[1] * field, weight.shape[0] * field
