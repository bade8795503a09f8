"""Embeddings that learn with a proxy for each class (leftthomas/UnifiedProxy, ProxyAnchor)."""

from pathlib import Path
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import nn

from cirtorch.downloads.fetch import fetch
from cirtorch.downloads.known_files import known_weights
from cirtorch.utils.general import get_root
from mdir.networks.architectures.parts.bn_inception import BNInception
from mdir.networks.architectures.parts.unit_rows import unit_rows
from mdir.networks.architectures.pretrained import load_pretrained
from mdir.networks.architectures.reid_resnet import RESNETS, MaxAndMean
from mdir.registry import register
from mdir.registry.ranges import at_least, one_of

BACKBONES = (*RESNETS, "inception", "googlenet")
_POOLINGS = {
    "max": lambda: nn.AdaptiveMaxPool2d(1),
    "avg": lambda: nn.AdaptiveAvgPool2d(1),
    "avg+max": MaxAndMean,
}


@register("architecture", "proxy_embedding")
class ProxyEmbedding(nn.Module):
    """Images ``[B, 3, H, W]`` -> L2-normalised descriptors as columns ``[D, B]``, in float32.

    Pooled features, layer normalisation without parameters, and a linear layer ``refactor``; keys
    of the weights are the published ones. The rows of ``fc`` are the proxies.

    Args:
        backbone: a ResNet, BN-Inception (``inception``, images as BGR in 0..255), or GoogLeNet,
            whose dropout acts in training.
        feature_dim: D.
        classes: how many proxies there are.
        pooling: of the feature map.
        layer_norm: normalise the pooled features of an image by their mean and variance.
        frozen_batch_norm: the backbone's batch normalisation keeps its statistics in training, as
            published; false: those of the batch, for a backbone without pretrained weights.
        pretrained: true: ImageNet weights, fetched once into ``<root>/weights``; text: path or URL
            of a state_dict of the backbone, the layers of its classifier are left out.
    """

    def __init__(
        self,
        *,
        backbone: Annotated[str, one_of("backbone", BACKBONES)] = "resnet50",
        feature_dim: Annotated[int, at_least(1)] = 512,
        classes: Annotated[int, at_least(1)],
        pooling: Literal["max", "avg", "avg+max"] = "max",
        layer_norm: bool = True,
        frozen_batch_norm: bool = True,
        pretrained: bool | str = True,
    ):
        super().__init__()
        self.backbone, width = _headless(backbone, _POOLINGS[pooling]())
        if pretrained:
            source = pretrained if isinstance(pretrained, str) else _imagenet_weights(backbone)
            load_pretrained(self.backbone, source, _without_head)
        self.refactor = nn.Linear(width, feature_dim, bias=False)
        self.fc = nn.Linear(feature_dim, classes, bias=False)
        with torch.no_grad():
            self.fc.weight.copy_(unit_rows(torch.randn(classes, feature_dim)))
        self.layer_norm, self.frozen_batch_norm = layer_norm, frozen_batch_norm
        self.meta = {"in_channels": 3, "out_channels": feature_dim}

    @property
    def maps_images_apart(self) -> bool:
        """Whether the descriptor of an image depends on no other image of its batch."""
        return self.frozen_batch_norm or not self.training

    @property
    def proxies(self) -> torch.Tensor:
        """Unit rows ``[classes, D]``."""
        return unit_rows(self.fc.weight)

    def cosines(self, descriptors: torch.Tensor) -> torch.Tensor:
        """Of descriptors ``[D, B]`` and all proxies: ``[B, classes]``, in float32 always."""
        with torch.autocast(descriptors.device.type, enabled=False):
            return unit_rows(descriptors.T) @ self.proxies.T

    def freeze_backbone(self, frozen: bool = True) -> None:
        """Keep the backbone's weights from learning, or let them."""
        self.backbone.requires_grad_(not frozen)

    def parameter_groups(self, options: dict) -> list[dict]:
        """The groups ``backbone``, ``refactor`` and ``fc``, each under its ``name``."""
        parts = ("backbone", "refactor", "fc")
        return [{"name": part, "params": list(getattr(self, part).parameters())} for part in parts]

    def train(self, mode: bool = True) -> "ProxyEmbedding":
        super().train(mode)
        if self.frozen_batch_norm:
            for module in self.backbone.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def forward(self, images):
        pooled = self.backbone(images)
        if self.layer_norm:
            pooled = F.layer_norm(pooled, pooled.shape[1:])
        return unit_rows(self.refactor(pooled)).T


def _headless(name, pooling):
    """A backbone from images to pooled features ``[B, M]``, weights drawn at random, and M."""
    from torchvision import models  # late: takes as long as torch itself

    pool, head = "avgpool", "fc"
    if name == "inception":
        backbone, pool, head = BNInception(), "global_pool", "last_linear"
    elif name == "googlenet":
        options = {"aux_logits": False, "transform_input": True, "init_weights": True}
        backbone = models.googlenet(weights=None, **options)
    else:
        backbone = getattr(models, name)(weights=None)
    width = getattr(backbone, head).in_features
    setattr(backbone, pool, pooling)
    setattr(backbone, head, nn.Identity())
    return backbone, width


def _imagenet_weights(backbone):
    if backbone != "inception":
        from torchvision.models import get_model_weights

        return get_model_weights(backbone)["IMAGENET1K_V1"].url
    (known,) = known_weights()["ImageNet weights of BN-Inception"]
    return str(fetch(known.url, Path(get_root(), known.to), known.sha256))


def _without_head(key):
    return None if key.startswith(("fc.", "last_linear.", "aux1.", "aux2.")) else key
