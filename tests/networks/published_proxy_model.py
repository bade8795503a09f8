"""The published network of UnifiedProxy in plain torch, but for BN-Inception, which is ours."""

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from mdir.networks.architectures.parts.bn_inception import BNInception


class Model(nn.Module):
    """Images to (unit rows ``[B, feature_dim]``, cosines ``[B, num_classes]``)."""

    def __init__(self, backbone_type, feature_dim, num_classes):
        super().__init__()
        pool, head = "avgpool", "fc"
        if backbone_type == "inception":
            self.backbone, pool, head = BNInception(), "global_pool", "last_linear"
        elif backbone_type == "googlenet":
            self.backbone = torchvision.models.googlenet(
                weights=None, aux_logits=False, transform_input=True, init_weights=False
            )
        else:
            self.backbone = getattr(torchvision.models, backbone_type)(weights=None)
        width = getattr(self.backbone, head).in_features
        setattr(self.backbone, pool, nn.AdaptiveMaxPool2d(1))
        setattr(self.backbone, head, nn.Identity())
        self.refactor = nn.Linear(width, feature_dim, bias=False)
        self.fc = nn.Linear(feature_dim, num_classes, bias=False)

    def forward(self, x):
        b = self.backbone(x)
        b = (b - b.mean(1, keepdim=True)) / (b.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        features = F.normalize(self.refactor(b), dim=1)
        return features, features @ F.normalize(self.fc.weight, dim=1).T


def published_model(backbone_type, feature_dim=6, num_classes=4, seed=0):
    """One with statistics that differ from those of the beginning."""
    torch.manual_seed(seed)
    model = Model(backbone_type, feature_dim, num_classes)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()
