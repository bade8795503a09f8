"""Negative cosine similarity with stopped gradients."""

from torch import nn

from mdir.registry import register


@register("criterion", "simsiam")
class SimSiamLoss(nn.Module):
    """Symmetric loss of Chen and He, SimSiam (CVPR 2021), on L2-normalised rows.

    Called with features f1, f2 and predictions p1, p2, all (B, D) of one size; the features
    receive no gradient.
    """

    reduction = "mean"

    def forward(self, f1, f2, p1, p2):
        first = (p1 * f2.detach()).sum(dim=1).mean()
        second = (p2 * f1.detach()).sum(dim=1).mean()
        return -0.5 * (first + second)
