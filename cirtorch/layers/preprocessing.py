"""A learned filter before the features of an embedding network."""

import torch
from torch import nn

_LOWEST_TAU, _HIGHEST_TAU = 0.01, 0.9


class EdgeFilter(nn.Module):
    """Sharpens an edge map: ``w max(x, eps)^p / (1 + exp(min(-beta (x - tau), 50)))``.

    From Radenović et al., "Deep Shape Matching" (ECCV 2018). ``p`` and ``tau`` ``[1]`` are learned;
    every forward pass first brings ``tau`` back into [0.01, 0.9].
    """

    def __init__(self, w=10.0, p=0.5, beta=500.0, tau=0.1, eps=1e-6):
        super().__init__()
        self.w, self.beta, self.eps = w, beta, eps
        self.p = nn.Parameter(torch.ones(1) * p)
        self.tau = nn.Parameter(torch.ones(1) * tau)

    def forward(self, x):
        """Edge map ``[B, C, H, W]`` in 0..1 -> same shape."""
        with torch.no_grad():
            self.tau.clamp_(_LOWEST_TAU, _HIGHEST_TAU)
        edges = self.w * x.clamp(min=self.eps).pow(self.p)
        return edges / (1 + (-self.beta * (x - self.tau)).clamp(max=50).exp())
