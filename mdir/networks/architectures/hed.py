"""HED edge detector.

Xie, Tu: Holistically-Nested Edge Detection, ICCV 2015, in the form of sniklaus/pytorch-hed.
"""

import re
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from cirtorch.layers.convolution import Conv2d
from mdir.networks.architectures.parts.sizes import require_side
from mdir.networks.architectures.pretrained import load_pretrained
from mdir.registry import register

STAGES = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512,) * 4)

# Learning-rate and weight-decay factors by class of parameter, as HED was trained.
FACTORS = {
    "conv.weight": (1, 1),
    "conv.bias": (2, 0),
    "conv5.weight": (100, 1),
    "conv5.bias": (200, 0),
    "score.weight": (0.01, 1),
    "score.bias": (0.02, 0),
    "fusion.weight": (0.001, 1),
    "fusion.bias": (0.002, 0),
}

_SNIKLAUS = {"One": "1", "Two": "2", "Thr": "3", "Fou": "4", "Fiv": "5"}


@register("architecture", "hed_interpolation")
class HED(nn.Module):
    """(B,3,H,W) -> edge map (B,1,H,W); sides of at least 16 pixels, odd ones are fine.

    Images are BGR, in [0,1] minus the channel means (a matter of the wrappers). Weights of the
    public file of sniklaus/pytorch-hed expect values 255 times as large.

    Args:
        pretrained: path or URL of a state_dict with these keys or those of sniklaus/pytorch-hed.
    """

    def __init__(self, *, pretrained: str | None = None):
        super().__init__()
        for number, widths in enumerate(STAGES, 1):
            self.add_module(f"vgg{number}", _stage(widths, pool=number > 1))
        for number, widths in enumerate(STAGES, 1):
            self.add_module(f"score{number}", nn.Conv2d(widths[-1], 1, 1))
        self.fusion = nn.Sequential(nn.Conv2d(5, 1, 1))
        self.meta = {"in_channels": 3, "out_channels": 1}
        if pretrained:
            load_pretrained(self, pretrained, _own_key)

    def forward(self, x: torch.Tensor, no_sigmoid: bool = False) -> torch.Tensor:
        """Edge probabilities, or raw scores with ``no_sigmoid``.

        Raises:
            UserError: for an image with a side of less than 16 pixels.
        """
        require_side(x, 16, "HED")
        size, scores = x.shape[-2:], []
        for number in range(1, 6):
            x = getattr(self, f"vgg{number}")(x)
            score = getattr(self, f"score{number}")(x)
            scores.append(F.interpolate(score, size, mode="bilinear", align_corners=False))
        fused = self.fusion(torch.cat(scores, 1))
        return fused if no_sigmoid else torch.sigmoid(fused)

    def parameter_groups(self, opts: dict) -> list[dict]:
        """Optimizer groups with the learning rates of HED, from ``opts`` lr and weight_decay."""
        groups = {}
        for name, parameter in self.named_parameters():
            groups.setdefault(_parameter_class(name), []).append(parameter)
        return [
            {
                **opts,
                "params": parameters,
                "lr": FACTORS[kind][0] * opts["lr"],
                "weight_decay": FACTORS[kind][1] * opts["weight_decay"],
            }
            for kind, parameters in groups.items()
        ]


def _stage(widths, pool):
    layers = [nn.MaxPool2d(2, 2)] if pool else []
    for channels, wider in pairwise(widths):
        layers += [Conv2d(channels, wider, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _parameter_class(name):
    module, _, leaf = name.partition(".")
    kind = {"vgg5": "conv5", "fusion": "fusion"}.get(module, module.rstrip("12345"))
    return f"{kind.replace('vgg', 'conv')}.{leaf.rpartition('.')[2]}"


def _own_key(key):
    key = key.replace("moduleCombine.", "fusion.")
    found = re.fullmatch(r"module(Vgg|Score)(One|Two|Thr|Fou|Fiv)\w*\.(.*)", key)
    if not found:
        return key
    return f"{found[1].lower()}{_SNIKLAUS[found[2]]}.{found[3]}"
