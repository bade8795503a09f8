"""A U-Net that enlarges by interpolation and so takes images of any size."""

import torch
import torch.nn.functional as F
from torch import nn

from cirtorch.layers.convolution import Conv2d
from mdir.networks.architectures.unet_blocks import CONV_OPTS, nest, present
from mdir.networks.architectures.unet_mdir import Odd
from mdir.registry import register


class InterpolatingLevel(nn.Module):
    """up(down(x) resized to x's own size), concatenated to x unless it is the outermost level."""

    def __init__(self, down: nn.Module, up: nn.Module, mode: str, skip: bool = True):
        super().__init__()
        self.down, self.up = down, up
        self.mode, self.skip = mode, skip

    def forward(self, x):
        y = self.up(F.interpolate(self.down(x), size=x.shape[-2:], mode=self.mode))
        return torch.cat([x, y], 1) if self.skip else y


@register("architecture", "outconv_dynint_unet")
class InterpolatingUnet(InterpolatingLevel):
    """(B,in,H,W) -> (B,out,H,W), without tanh.

    Args:
        in_channels, out_channels: image channels.
        upsample: mode of the interpolation (corners are not aligned).
        conv_opts: of the convolutions that halve (default kernel 4, stride 2, padding 1).
        upconv_opts: of those behind the interpolation (default kernel 3, padding 1).
        nested_levels: levels below the outermost one, 1 or more.
        outconv_channels, outconv_kernel: input width and odd size of the last convolution.
        dropout: rate in every level (false: none).
        batchnorm: whether the levels below the outermost one normalize.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        upsample: str = "bilinear",
        conv_opts: dict | None = None,
        upconv_opts: dict | None = None,
        nested_levels: int = 7,
        outconv_channels: int = 32,
        outconv_kernel: Odd = 3,
        dropout: bool | float = False,
        batchnorm: bool = False,
    ):
        conv_opts = {**CONV_OPTS, **(conv_opts or {})}
        upconv_opts = {"kernel_size": 3, "padding": 1, **(upconv_opts or {})}

        def down(channels, wider, nested, norm):
            conv = nn.Conv2d(channels, wider, **conv_opts)
            return nn.Sequential(*present(conv, norm, nn.LeakyReLU(0.2), nested))

        def level(_number, outer, inner, nested):
            conv = Conv2d(inner if nested is None else 2 * inner, outer, **upconv_opts)
            norms = [nn.BatchNorm2d(width) if batchnorm else None for width in (inner, outer)]
            drop = nn.Dropout(float(dropout)) if dropout else None
            up = nn.Sequential(*present(conv, norms[1], drop, nn.ReLU()))
            return InterpolatingLevel(down(outer, inner, nested, norms[0]), up, upsample)

        super().__init__(
            down(in_channels, 64, nest(level, nested_levels), None),
            nn.Sequential(
                nn.Conv2d(128, outconv_channels, **upconv_opts),
                nn.ReLU(),
                nn.Conv2d(
                    outconv_channels, out_channels, outconv_kernel, padding=outconv_kernel // 2
                ),
            ),
            upsample,
            skip=False,
        )
        self.meta = {"in_channels": in_channels, "out_channels": out_channels}
