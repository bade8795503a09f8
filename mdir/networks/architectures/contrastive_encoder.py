"""Backbone and projection head of the contrastive methods (leftthomas/DaCo, leftthomas/OSSCo)."""

from typing import Annotated

import torch
from torch import nn

from mdir.networks.architectures.parts.unit_rows import unit_rows
from mdir.networks.architectures.pretrained import load_pretrained
from mdir.registry import register
from mdir.registry.ranges import at_least, one_of

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
        pretrained: torchvision's ImageNet weights for the backbone; fetched once into
            ``<root>/weights``, from ``CIRTORCH_MIRROR`` where that is set.
    """

    def __init__(
        self,
        *,
        backbone: Annotated[str, one_of("backbone", BACKBONES)] = "resnet50",
        hidden_dim: Annotated[int, at_least(1)] = 512,
        proj_dim: Annotated[int, at_least(1)] = 128,
        pretrained: bool = False,
    ):
        super().__init__()
        from torchvision import models  # late: takes as long as torch itself

        resnet = getattr(models, backbone)(weights=None)
        if pretrained:
            weights = models.get_model_weights(backbone)["IMAGENET1K_V1"]
            load_pretrained(resnet, weights.url)
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
        return unit_rows(features), unit_rows(self.g(features))
