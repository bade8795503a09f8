"""Residual generator: downsample twice, transform, upsample twice.

Johnson et al. 2016, in the form of CycleGAN (Zhu et al., ICCV 2017) and of
contrastive-unpaired-translation; all layers stand in one flat sequence, so that CUT can tap it.
"""

from typing import Literal

import torch
from torch import nn

from cirtorch.layers.convolution import Conv2d
from mdir.networks.architectures.parts.blur import BlurDownsample, BlurUpsample
from mdir.networks.architectures.parts.norms import (
    NormName,
    choose_norm,
    learns_images_apart,
    mixes_images,
)
from mdir.networks.architectures.parts.sizes import require_side
from mdir.networks.architectures.parts.taps import run_with_taps
from mdir.registry import register

Padding = Literal["reflect", "replicate", "zero"]
_PADS = {"reflect": nn.ReflectionPad2d, "replicate": nn.ReplicationPad2d}


class ResidualBlock(nn.Module):
    """x + two 3x3 convolutions with normalization; nothing follows the sum."""

    def __init__(self, channels: int, norm, bias: bool, padding_type: Padding, use_dropout: bool):
        super().__init__()
        pad = [_PADS[padding_type](1)] if padding_type in _PADS else []

        def convolution():
            return Conv2d(channels, channels, 3, padding=0 if pad else 1, bias=bias)

        self.conv_block = nn.Sequential(
            *pad,
            convolution(),
            norm(channels),
            nn.ReLU(inplace=True),
            *([nn.Dropout(0.5)] if use_dropout else []),
            *pad,
            convolution(),
            norm(channels),
        )

    def forward(self, x):
        return x + self.conv_block(x)


@register("architecture", "official_resnet_generator")
class ResnetGenerator(nn.Module):
    """(B,in,H,W) -> (B,out,H',W') in [-1,1]; H' and W' are rounded up to multiples of 4.

    Args:
        input_nc, output_nc: image channels.
        ngf: width of the first layer; the residual blocks have four times as many channels.
        norm_layer: ``batch``, ``instance`` (no parameters, same in train and eval) or ``none``.
        use_dropout: dropout 0.5 inside the residual blocks.
        n_blocks: residual blocks.
        padding_type: of the residual blocks; the outer 7x7 convolutions always reflect.
        no_antialias, no_antialias_up: false: blurred down- or upsampling.
        track_running_stats: of batch normalization.
    """

    repeats = ResidualBlock

    def __init__(
        self,
        *,
        input_nc: int,
        output_nc: int,
        ngf: int = 64,
        norm_layer: NormName = "batch",
        use_dropout: bool = False,
        n_blocks: int = 9,
        padding_type: Padding = "reflect",
        no_antialias: bool = True,
        no_antialias_up: bool = True,
        track_running_stats: bool = True,
    ):
        super().__init__()
        norm, bias = choose_norm(norm_layer, track_running_stats)
        down = _down if no_antialias else _down_blurred
        up = _up if no_antialias_up else _up_blurred
        block = (norm, bias, padding_type, use_dropout)
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(input_nc, ngf, 7, bias=bias),
            norm(ngf),
            nn.ReLU(inplace=True),
            *down(ngf, 2 * ngf, norm, bias),
            *down(2 * ngf, 4 * ngf, norm, bias),
            *(ResidualBlock(4 * ngf, *block) for _ in range(n_blocks)),
            *up(4 * ngf, 2 * ngf, norm, bias),
            *up(2 * ngf, ngf, norm, bias),
            nn.ReflectionPad2d(3),
            Conv2d(ngf, output_nc, 7),
            nn.Tanh(),
        )
        self.meta = {"in_channels": input_nc, "out_channels": output_nc}
        # A reflecting pad needs a side above its width: 3 at the image, 1 at a quarter of its size.
        self.least_side = 5 if padding_type == "reflect" and n_blocks else 4

    def forward(self, x: torch.Tensor, layers=(), encode_only: bool = False):
        """Translate, or read features on the way.

        Args:
            x: (B,in,H,W), normalized to [-1,1].
            layers: ascending indices into ``model`` to tap, -1 for the final output; a tapped
                normalization shows as its rectified value (see
                :mod:`mdir.networks.architectures.parts.taps`).
            encode_only: stop behind the last tap.

        Returns:
            The image; ``(image, features)`` with layers; the features alone with ``encode_only``.

        Raises:
            UserError: for an image with a side of less than 5 pixels.
            ValueError: for layers that do not ascend or that the network lacks.
        """
        require_side(x, self.least_side, "resnet generator")
        if not layers:
            return self.model(x)
        return run_with_taps(self.model, x, layers, encode_only)

    def layer_channels(self) -> list[int]:
        """Channels of the output of each entry of ``model``: what a tap there gives."""
        channels, result = self.meta["in_channels"], []
        for module in self.model:
            channels = getattr(module, "out_channels", channels)
            result.append(channels)
        return result

    def learns_images_apart(self) -> bool:
        """See :func:`mdir.networks.architectures.parts.norms.learns_images_apart`."""
        return learns_images_apart(self)

    def taps_are_pure(self, layers) -> bool:
        """Whether taps during a full pass over a batch show what each image gives by itself.

        Not so where layers mix images or draw at random, nor where the layer behind the last tap
        rectifies it in place, which a pass that ends there does not.
        """
        if mixes_images(self):
            return False
        behind = (m for m in self.model[layers[-1] + 1 :] if not isinstance(m, nn.Identity))
        return not isinstance(next(behind, None), nn.ReLU)


def _down(channels, wider, norm, bias):
    convolution = nn.Conv2d(channels, wider, 3, stride=2, padding=1, bias=bias)
    return convolution, norm(wider), nn.ReLU(inplace=True)


def _down_blurred(channels, wider, norm, bias):
    convolution = Conv2d(channels, wider, 3, padding=1, bias=bias)
    return convolution, norm(wider), nn.ReLU(inplace=True), BlurDownsample(wider)


def _up(channels, narrower, norm, bias):
    convolution = nn.ConvTranspose2d(
        channels, narrower, 3, stride=2, padding=1, output_padding=1, bias=bias
    )
    return convolution, norm(narrower), nn.ReLU(inplace=True)


def _up_blurred(channels, narrower, norm, bias):
    convolution = Conv2d(channels, narrower, 3, padding=1, bias=bias)
    return BlurUpsample(channels), convolution, norm(narrower), nn.ReLU(inplace=True)
