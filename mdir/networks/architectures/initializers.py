"""Random weights by name, drawn layer by layer in registration order, weight before bias.

The caller seeds torch's generator right before. ``p2p`` names are those of pix2pix and CycleGAN
with gandtr's default gain of 0.2; the original authors used 0.02. Fans go by the position of the
axes, so they are swapped for transposed convolutions, in torch as in the published code.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from mdir.registry import register


@register("initializer", "default")
def default(module: nn.Module) -> None:
    """Keep the weights that the constructor made."""


@register("initializer", "normal_p2p")
def normal_p2p(module: nn.Module, *, init_gain: float = 0.2) -> None:
    """Weights from N(0, gain), batch norm scales from N(1, gain), biases 0."""
    _fill(module, partial(nn.init.normal_, std=init_gain), nn.init.zeros_, init_gain)


@register("initializer", "kaiming_p2p")
def kaiming_p2p(module: nn.Module, *, init_gain: float = 0.2) -> None:
    """Weights from N(0, sqrt(2/fan_in)), batch norm scales from N(1, gain), biases 0."""
    _fill(module, nn.init.kaiming_normal_, nn.init.zeros_, init_gain)


@register("initializer", "xavier_p2p")
def xavier_p2p(module: nn.Module, *, init_gain: float = 0.2) -> None:
    """Weights from N(0, gain * sqrt(2/(fan_in+fan_out))), batch norm scales N(1, gain)."""
    _fill(module, partial(nn.init.xavier_normal_, gain=init_gain), nn.init.zeros_, init_gain)


@register("initializer", "he_normal")
def he_normal(module: nn.Module) -> None:
    """Weights from N(0, sqrt(2/fan_in)), biases 0.01; norms stay."""
    _fill(module, nn.init.kaiming_normal_, partial(nn.init.constant_, val=0.01))


@register("initializer", "normal")
def normal(module: nn.Module) -> None:
    """Weights and biases from N(0, 1); norms stay."""
    _fill(module, nn.init.normal_, nn.init.normal_)


@register("initializer", "uniform")
def uniform(module: nn.Module) -> None:
    """Weights and biases from U(0, 1); norms stay."""
    _fill(module, nn.init.uniform_, nn.init.uniform_)


def _fill(module, weights: Callable, biases: Callable, norm_gain: float | None = None):
    """Fill convolutions and linear layers and, given a gain, affine batch norms."""

    def visit(layer):
        kind = type(layer).__name__
        if ("Conv" in kind or "Linear" in kind) and getattr(layer, "weight", None) is not None:
            weights(layer.weight)
            if layer.bias is not None:
                biases(layer.bias)
        elif norm_gain is not None and "BatchNorm2d" in kind and layer.affine:
            nn.init.normal_(layer.weight, 1.0, norm_gain)
            nn.init.zeros_(layer.bias)

    module.apply(visit)
