"""U-Nets that the project inherited from mdir, except the interpolating and the original one."""

from typing import Annotated

import torch
from torch import nn

from mdir.networks.architectures.parts.sizes import require_divisible
from mdir.networks.architectures.unet_blocks import CONV_OPTS, nest, p2p_level, shallow_level
from mdir.registry import Check, register


def _odd(size: int) -> None:
    if size % 2 == 0:
        raise ValueError(f"must be odd, got {size}")


Odd = Annotated[int, Check(_odd)]


class NestedUnet(nn.Module):
    """A sequence around nested levels; sides are multiples of ``divisor`` (0: any size)."""

    def __init__(self, channels: tuple[int, int], divisor: int, *layers: nn.Module):
        super().__init__()
        self.outerblock = nn.Sequential(*layers)
        self.divisor = divisor
        self.meta = {"in_channels": channels[0], "out_channels": channels[1]}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B,in,H,W) -> (B,out,H,W).

        Raises:
            UserError: where a side is not a multiple of what the levels divide it by.
        """
        if self.divisor:
            require_divisible(x, self.divisor, type(self).__name__)
        return self.outerblock(x)


def _divisor(halvings, conv_opts=CONV_OPTS):
    return 2**halvings if {**CONV_OPTS, **conv_opts} == CONV_OPTS else 0


@register("architecture", "p2p_unet")
class P2PUnet(NestedUnet):
    """pix2pix-like U-Net ending in tanh.

    Args:
        in_channels, out_channels: image channels.
        dropout: rate in the levels below the fourth.
        conv_opts: of the resampling convolutions (default kernel 4, stride 2, padding 1, no bias).
        batchnorm_opts: of the batch normalizations.
        batchnorm: whether there are any.
        nested_levels: levels below the outermost one.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        dropout: float = 0.0,
        conv_opts: dict | None = None,
        batchnorm_opts: dict | None = None,
        batchnorm: bool = True,
        nested_levels: int = 7,
    ):
        conv_opts = {**CONV_OPTS, "bias": False, **(conv_opts or {})}
        norm_opts = (batchnorm_opts or {}) if batchnorm else None

        def level(number, outer, inner, nested):
            rate = dropout if number >= 4 else 0.0
            return p2p_level(outer, inner, nested, conv_opts, rate, norm_opts)

        sampling = {key: value for key, value in conv_opts.items() if key != "bias"}
        super().__init__(
            (in_channels, out_channels),
            _divisor(nested_levels + 1, sampling),
            nn.Conv2d(in_channels, 64, **conv_opts),
            nn.LeakyReLU(0.2),
            nest(level, nested_levels),
            nn.ConvTranspose2d(128, out_channels, **{**conv_opts, "bias": True}),
            nn.Tanh(),
        )


@register("architecture", "outconv_unet")
class OutconvUnet(NestedUnet):
    """U-Net whose last layer is an ordinary convolution at full size, without tanh.

    Args:
        in_channels, out_channels: image channels.
        conv_opts: of the resampling convolutions (default kernel 4, stride 2, padding 1).
        nested_levels: levels below the outermost one; 0 is allowed.
        outconv_channels, outconv_kernel: input width and odd size of the last convolution.
        dropout: rate in every level (false: none).
        batchnorm: whether the levels normalize.
        batchnorm_opts: of the batch normalizations.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        conv_opts: dict | None = None,
        nested_levels: int = 7,
        outconv_channels: int = 32,
        outconv_kernel: Odd = 3,
        dropout: bool | float = False,
        batchnorm: bool = False,
        batchnorm_opts: dict | None = None,
    ):
        conv_opts = {**CONV_OPTS, **(conv_opts or {})}

        def level(_number, outer, inner, nested):
            norm_opts = (batchnorm_opts or {}) if batchnorm else None
            return p2p_level(outer, inner, nested, conv_opts, float(dropout), norm_opts)

        levels = [nest(level, nested_levels)] if nested_levels else []
        super().__init__(
            (in_channels, out_channels),
            _divisor(nested_levels + 1, conv_opts),
            nn.Conv2d(in_channels, 64, **conv_opts),
            nn.LeakyReLU(0.2),
            *levels,
            nn.ConvTranspose2d(128 if levels else 64, outconv_channels, **conv_opts),
            nn.ReLU(),
            nn.Conv2d(outconv_channels, out_channels, outconv_kernel, padding=outconv_kernel // 2),
        )


@register("architecture", "shallow_p2p_unet")
class ShallowUnet(NestedUnet):
    """U-Net of few levels with 1x1 convolutions between the resampling ones.

    Args:
        in_channels, out_channels: image channels.
        conv_opts: of the resampling convolutions (default kernel 4, stride 2, padding 1).
        nested_levels: levels below the outermost one.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        conv_opts: dict | None = None,
        nested_levels: int = 4,
    ):
        conv_opts = {**CONV_OPTS, **(conv_opts or {})}
        super().__init__(
            (in_channels, out_channels),
            _divisor(nested_levels + 1, conv_opts),
            nn.Conv2d(in_channels, 64, **conv_opts),
            nn.ReLU(),
            nn.Conv2d(64, 64, 1),
            nn.ReLU(),
            nest(lambda _, *level: shallow_level(*level, conv_opts), nested_levels),
            nn.ConvTranspose2d(128, 64, **conv_opts),
            nn.ReLU(),
            nn.Conv2d(64, 64, 1),
            nn.ReLU(),
            nn.Conv2d(64, out_channels, 1),
        )


@register("architecture", "inconv_p2p_unet")
class InconvUnet(NestedUnet):
    """U-Net with a 1x1 convolution in front, ending in tanh.

    Args:
        in_channels, out_channels: image channels.
        conv_opts: of the resampling convolutions (default kernel 4, stride 2, padding 1).
        nested_levels: levels below the outermost one.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        conv_opts: dict | None = None,
        nested_levels: int = 7,
    ):
        conv_opts = {**CONV_OPTS, **(conv_opts or {})}
        super().__init__(
            (in_channels, out_channels),
            _divisor(nested_levels + 1, conv_opts),
            nn.Conv2d(in_channels, 64, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(64, 64, **conv_opts),
            nn.LeakyReLU(0.2),
            nest(lambda _, *level: p2p_level(*level, conv_opts), nested_levels),
            nn.ConvTranspose2d(128, out_channels, **conv_opts),
            nn.Tanh(),
        )


@register("architecture", "aligned_p2p_unet")
class AlignedUnet(NestedUnet):
    """U-Net whose outermost level keeps the image size, without tanh.

    Args:
        in_channels, out_channels: image channels.
        conv_opts: of the resampling convolutions (default kernel 4, stride 2, padding 1).
        nested_levels: levels below the outermost one.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        conv_opts: dict | None = None,
        nested_levels: int = 7,
    ):
        conv_opts = {**CONV_OPTS, **(conv_opts or {})}
        super().__init__(
            (in_channels, out_channels),
            _divisor(nested_levels, conv_opts),
            nn.Conv2d(in_channels, 64, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(),
            nest(lambda _, *level: p2p_level(*level, conv_opts), nested_levels),
            nn.Conv2d(128, 64, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, out_channels, 3, padding=1),
        )
