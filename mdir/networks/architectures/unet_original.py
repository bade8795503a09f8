"""The first U-Net.

Ronneberger, Fischer, Brox: U-Net, MICCAI 2015 (with padded convolutions).
"""

import torch
from torch import nn

from cirtorch.layers.convolution import Conv2d
from mdir.networks.architectures.parts.sizes import require_divisible
from mdir.registry import register


class ConvBlock(nn.Module):
    """Two 3x3 convolutions, each rectified."""

    def __init__(self, channels: int, wider: int):
        super().__init__()
        self.conv1 = Conv2d(channels, wider, 3, padding=1)
        self.conv2 = Conv2d(wider, wider, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.conv2(self.relu(self.conv1(x))))


class UnetLevel(nn.Module):
    """Convolve, halve, run what is nested, double, convolve with the skipped map."""

    def __init__(self, in_channels: int, channels: int, nested: nn.Module):
        super().__init__()
        self.downconv = ConvBlock(in_channels, channels)
        self.pool = nn.MaxPool2d(2)
        self.nested = nested
        self.convT = nn.ConvTranspose2d(2 * channels, channels, 2, stride=2)
        self.upconv = ConvBlock(2 * channels, channels)

    def forward(self, x):
        down = self.downconv(x)
        up = self.convT(self.nested(self.pool(down)))
        return self.upconv(torch.cat([down, up], 1))


@register("architecture", "orig_unet")
class OriginalUnet(nn.Module):
    """(B,in,H,W) -> (B,out,H,W); sides are multiples of 2**nested_levels.

    Args:
        in_channels, out_channels: image channels.
        nested_levels: halvings.
        min_channels: width of the outermost level; it doubles at each halving.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        nested_levels: int = 4,
        min_channels: int = 64,
    ):
        super().__init__()
        widths = [min_channels * 2**level for level in range(nested_levels + 1)]
        block = ConvBlock(widths[-2], widths[-1])
        for level in reversed(range(nested_levels)):
            block = UnetLevel(widths[level - 1] if level else in_channels, widths[level], block)
        self.outerblock = block
        self.outconv = nn.Conv2d(min_channels, out_channels, 1)
        self.divisor = 2**nested_levels
        self.meta = {"in_channels": in_channels, "out_channels": out_channels}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map an image to channels of scores.

        Raises:
            UserError: where a side is not a multiple of ``2**nested_levels``.
        """
        require_divisible(x, self.divisor, "U-Net")
        return self.outconv(self.outerblock(x))
