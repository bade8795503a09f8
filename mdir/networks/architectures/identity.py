"""Networks without weights."""

import torch
from torch import nn

from mdir.registry import register


@register("architecture", "identity")
class IdentityNetwork(nn.Module):
    """Returns its input."""

    def __init__(self):
        super().__init__()
        self.meta = {"in_channels": 3, "out_channels": 3}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@register("architecture", "normalization_l2")
class L2Normalization(nn.Module):
    """Divides by the norm over dimension 1 (plus 1e-6)."""

    def __init__(self):
        super().__init__()
        self.meta = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-6)
