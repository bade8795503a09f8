"""PatchGAN: judges every patch of an image by itself.

Isola et al.: Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017.
"""

import itertools

import torch
from torch import nn

from mdir.networks.architectures.parts.blur import BlurDownsample
from mdir.networks.architectures.parts.norms import NormName, choose_norm, learns_images_apart
from mdir.networks.architectures.parts.sizes import require_side
from mdir.registry import register


@register("architecture", "official_p2p_discriminator")
class PatchDiscriminator(nn.Module):
    """(B,in,H,W) -> (B,1,h,w) raw judgements, one per patch (70 pixels wide by default).

    Args:
        input_nc: image channels.
        ndf: width of the first layer; it doubles up to eight times that.
        n_layers: strided layers; each doubles the patch.
        kw: kernel size.
        norm_layer: ``batch``, ``instance`` or ``none``.
        no_antialias: false: blurred downsampling.
        track_running_stats: of batch normalization.
    """

    def __init__(
        self,
        *,
        input_nc: int,
        ndf: int = 64,
        n_layers: int = 3,
        kw: int = 4,
        norm_layer: NormName = "batch",
        no_antialias: bool = True,
        track_running_stats: bool = True,
    ):
        super().__init__()
        norm, bias = choose_norm(norm_layer, track_running_stats)
        widths = [ndf * min(2**level, 8) for level in range(n_layers + 1)]

        def strided(channels, wider, bias, norm):
            stride = 2 if no_antialias else 1
            return (
                nn.Conv2d(channels, wider, kw, stride=stride, padding=1, bias=bias),
                *norm,
                nn.LeakyReLU(0.2, inplace=True),
                *([] if no_antialias else [BlurDownsample(wider)]),
            )

        layers = [*strided(input_nc, ndf, True, [])]
        for channels, wider in itertools.pairwise(widths[:-1]):
            layers += strided(channels, wider, bias, [norm(wider)])
        self.model = nn.Sequential(
            *layers,
            nn.Conv2d(widths[-2], widths[-1], kw, padding=1, bias=bias),
            norm(widths[-1]),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(widths[-1], 1, kw, padding=1),
        )
        self.meta = {"in_channels": input_nc, "out_channels": 1}
        self.least_side = _least_side(n_layers, kw, no_antialias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Judge patches.

        Raises:
            UserError: for an image that is smaller than the layers need (24 pixels by default).
        """
        require_side(x, self.least_side, "patch discriminator")
        return self.model(x)

    def learns_images_apart(self) -> bool:
        """See :func:`mdir.networks.architectures.parts.norms.learns_images_apart`."""
        return learns_images_apart(self)

    def forward_multi(self, x: torch.Tensor) -> torch.Tensor:
        """What a GAN step calls; a multi-scale discriminator returns a list of maps here."""
        return self(x)


def _least_side(n_layers, kw, no_antialias):
    """The smallest image side that leaves a patch to judge."""

    def judged(side):
        for _ in range(n_layers):
            side = (side + 2 - kw) // 2 + 1 if no_antialias else (side + 4 - kw) // 2
        return side + 2 * (3 - kw)

    return next(side for side in itertools.count(1) if judged(side) >= 1)
