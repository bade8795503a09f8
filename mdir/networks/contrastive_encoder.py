"""Backbone and projection head of the contrastive methods (leftthomas/DaCo, leftthomas/OSSCo)."""

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from mdir.errors import UserError
from mdir.registry import register, unknown

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


@register("architecture", "contrastive_encoder")
class ContrastiveEncoder(nn.Module):
    """A ResNet ``f`` without its classifier, and a two-layer head ``g``.

    ``forward`` maps images (B, 3, H, W) to the pair (feature, projection), both L2-normalised rows;
    the head sees the feature before its normalisation. Features are for retrieval, projections for
    the losses; both at least in float32.

    Args:
        backbone: a torchvision ResNet.
        hidden_dim, proj_dim: widths of the head.
        pretrained: take torchvision's ImageNet weights for the backbone.
    """

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        hidden_dim: int = 512,
        proj_dim: int = 128,
        pretrained: bool = False,
    ):
        super().__init__()
        if backbone not in BACKBONES:
            raise UserError(unknown("backbone", backbone, BACKBONES))
        resnet = getattr(torchvision.models, backbone)(
            weights="IMAGENET1K_V1" if pretrained else None
        )
        width = resnet.fc.in_features
        self.f = nn.Sequential(*list(resnet.children())[:-1])
        self.g = nn.Sequential(
            nn.Linear(width, hidden_dim, bias=False),
            nn.BatchNorm1d(hidden_dim),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_dim, proj_dim),
        )
        self.meta = {"in_channels": 3, "out_channels": width}

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.f(images).flatten(1)
        return _unit(features), _unit(self.g(features))


def _unit(rows):
    """L2-normalised, in float32 where a network computes in less: memories keep these rows."""
    return F.normalize(rows.to(torch.promote_types(rows.dtype, torch.float32)), dim=1)
