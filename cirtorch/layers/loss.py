"""Losses on tuples of descriptors ``[D, N]`` (published project: cnnimageretrieval)."""

from torch import nn

import cirtorch.layers.functional as LF


class ContrastiveLoss(nn.Module):
    """See :func:`cirtorch.layers.functional.contrastive_loss`; ``(x, label) -> sum``."""

    def __init__(self, margin=0.7, eps=1e-6):
        super().__init__()
        self.margin = margin
        self.eps = eps

    def forward(self, x, label):
        return LF.contrastive_loss(x, label, margin=self.margin, eps=self.eps)

    def __repr__(self):
        return f"{type(self).__name__}(margin={self.margin:.4f})"


class TripletLoss(nn.Module):
    """See :func:`cirtorch.layers.functional.triplet_loss`; ``(x, label) -> sum``."""

    def __init__(self, margin=0.1):
        super().__init__()
        self.margin = margin

    def forward(self, x, label):
        return LF.triplet_loss(x, label, margin=self.margin)

    def __repr__(self):
        return f"{type(self).__name__}(margin={self.margin:.4f})"
