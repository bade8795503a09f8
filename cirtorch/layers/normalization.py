"""Normalization layers (published project: cnnimageretrieval)."""

from torch import nn

import cirtorch.layers.functional as LF


class L2N(nn.Module):
    """``x / (||x||_2 + eps)`` over dimension 1."""

    def __init__(self, eps=1e-6):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        return LF.l2n(x, eps=self.eps)

    def __repr__(self):
        return f"{type(self).__name__}(eps={self.eps})"


class PowerLaw(nn.Module):
    """Signed square root."""

    def __init__(self, eps=1e-6):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        return LF.powerlaw(x, eps=self.eps)

    def __repr__(self):
        return f"{type(self).__name__}(eps={self.eps})"
