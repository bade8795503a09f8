"""Levels of the U-Nets that the project inherited from mdir."""

import torch
from torch import nn

CONV_OPTS = {"kernel_size": 4, "stride": 2, "padding": 1}


def level_widths(nested_levels: int) -> list[tuple[int, int]]:
    """(outer, inner) channels of each level: doubling to 512, then constant."""
    widths = [(64, 128), (128, 256), (256, 512)]
    return (widths + [(512, 512)] * max(0, nested_levels - 3))[:nested_levels]


def nest(make, nested_levels: int):
    """The levels inside each other, ``make(level, outer, inner, nested)`` from the inside out."""
    block = None
    for level, widths in reversed(list(enumerate(level_widths(nested_levels)))):
        block = make(level, *widths, block)
    return block


def present(*layers) -> list[nn.Module]:
    """The layers that are there (not None)."""
    return [layer for layer in layers if layer is not None]


class SkipLevel(nn.Module):
    """cat(x, nested(x))."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.nested = nn.Sequential(*layers)

    def forward(self, x):
        return torch.cat([x, self.nested(x)], 1)


def p2p_level(
    outer, inner, nested, conv_opts=CONV_OPTS, dropout=0.0, batchnorm_opts=None
) -> SkipLevel:
    """A level in the manner of pix2pix; ``batchnorm_opts`` None: without batch normalization."""
    norm = batchnorm_opts is not None

    def normalize(channels):
        return nn.BatchNorm2d(channels, **batchnorm_opts) if norm else None

    innermost = nested is None
    inside = [nn.ReLU()] if innermost else [normalize(inner), nn.LeakyReLU(0.2), nested]
    return SkipLevel(
        nn.Conv2d(outer, inner, **conv_opts),
        *present(*inside),
        nn.ConvTranspose2d(inner if innermost else 2 * inner, outer, **conv_opts),
        *present(normalize(outer), nn.Dropout(dropout) if dropout else None, nn.ReLU()),
    )


def shallow_level(outer, inner, nested, conv_opts=CONV_OPTS) -> SkipLevel:
    """A level with a 1x1 convolution after each resampling one."""
    return SkipLevel(
        nn.Conv2d(outer, inner, **conv_opts),
        nn.ReLU(),
        nn.Conv2d(inner, inner, 1),
        nn.ReLU(),
        *present(nested),
        nn.ConvTranspose2d(inner if nested is None else 2 * inner, outer, **conv_opts),
        nn.ReLU(),
        nn.Conv2d(outer, outer, 1),
        nn.ReLU(),
    )
