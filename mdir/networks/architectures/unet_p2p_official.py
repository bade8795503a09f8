"""U-Net generator of pix2pix.

Isola et al.: Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017.
"""

from typing import Annotated

import torch
from torch import nn

from mdir.networks.architectures.parts.norms import NormName, choose_norm
from mdir.networks.architectures.parts.sizes import require_divisible
from mdir.registry import Check, register


def _at_least_five(num_downs: int) -> None:
    if num_downs < 5:
        raise ValueError(f"must be 5 or more, got {num_downs}")


class SkipBlock(nn.Module):
    """Halve the map, run what is nested, double it; the input is concatenated to the result.

    Where the first layer is a LeakyReLU it works in place, so the skip carries the rectified
    input, as in the published networks.
    """

    def __init__(self, *layers: nn.Module, outermost: bool = False):
        super().__init__()
        self.outermost = outermost
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        y = self.model(x)
        return y if self.outermost else torch.cat([x, y], 1)


@register("architecture", "official_p2p_unet_generator")
class P2PUnetGenerator(nn.Module):
    """(B,in,H,W) -> (B,out,H,W) in [-1,1]; sides are multiples of 2**num_downs.

    Args:
        input_nc, output_nc: image channels.
        num_downs: halvings, 5 or more.
        ngf: width of the outermost level; deeper ones have up to eight times as many channels.
        norm_layer: ``batch``, ``instance`` or ``none``.
        use_dropout: dropout 0.5 in the middle levels of the greatest width.
        track_running_stats: of batch normalization.
    """

    def __init__(
        self,
        *,
        input_nc: int,
        output_nc: int,
        num_downs: Annotated[int, Check(_at_least_five)],
        ngf: int = 64,
        norm_layer: NormName = "batch",
        use_dropout: bool = False,
        track_running_stats: bool = True,
    ):
        super().__init__()
        norm, bias = choose_norm(norm_layer, track_running_stats)
        block = _innermost(8 * ngf, norm, bias)
        for _ in range(num_downs - 5):
            block = _middle(8 * ngf, 8 * ngf, block, norm, bias, use_dropout)
        for factor in (4, 2, 1):
            block = _middle(factor * ngf, 2 * factor * ngf, block, norm, bias, False)
        self.model = SkipBlock(
            _down(input_nc, ngf, bias),
            block,
            nn.ReLU(inplace=True),
            _up(2 * ngf, output_nc, True),
            nn.Tanh(),
            outermost=True,
        )
        self.divisor = 2**num_downs
        self.meta = {"in_channels": input_nc, "out_channels": output_nc}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Translate.

        Raises:
            UserError: where a side is not a multiple of ``2**num_downs``.
        """
        require_divisible(x, self.divisor, "U-Net generator")
        return self.model(x)


def _innermost(channels, norm, bias):
    return SkipBlock(
        nn.LeakyReLU(0.2, inplace=True),
        _down(channels, channels, bias),
        nn.ReLU(inplace=True),
        _up(channels, channels, bias),
        norm(channels),
    )


def _middle(outer, inner, nested, norm, bias, dropout):
    return SkipBlock(
        nn.LeakyReLU(0.2, inplace=True),
        _down(outer, inner, bias),
        norm(inner),
        nested,
        nn.ReLU(inplace=True),
        _up(2 * inner, outer, bias),
        norm(outer),
        *([nn.Dropout(0.5)] if dropout else []),
    )


def _down(channels, wider, bias):
    return nn.Conv2d(channels, wider, 4, stride=2, padding=1, bias=bias)


def _up(channels, narrower, bias):
    return nn.ConvTranspose2d(channels, narrower, 4, stride=2, padding=1, bias=bias)
