"""Losses between two tensors of one shape: L1, squared error, cross-entropies."""

from typing import Literal

import torch
from torch import nn

from mdir.registry import register

Reduction = Literal["mean", "sum"]


@register("criterion", "l1")
class L1Loss(nn.L1Loss):
    """Mean (or sum) of absolute differences."""

    def __init__(self, *, reduction: Reduction = "mean"):
        super().__init__(reduction=reduction)


@register("criterion", "mse")
class MSELoss(nn.MSELoss):
    """Mean (or sum) of squared differences; as a GAN criterion this is least-squares GAN."""

    def __init__(self, *, reduction: Reduction = "mean"):
        super().__init__(reduction=reduction)


@register("criterion", "bce")
class BCELoss(nn.BCELoss):
    """Binary cross-entropy of probabilities; no gradient reaches the target."""

    def __init__(self, *, reduction: Reduction = "mean"):
        super().__init__(reduction=reduction)

    def forward(self, output, target):
        return super().forward(output, target.detach())


@register("criterion", "bce_with_logits")
class BCEWithLogitsLoss(nn.BCEWithLogitsLoss):
    """Binary cross-entropy of logits; ``pos_weight`` multiplies the terms of positive targets."""

    def __init__(self, *, pos_weight: float | None = None, reduction: Reduction = "mean"):
        weight = None if pos_weight is None else torch.tensor([pos_weight])
        super().__init__(reduction=reduction, pos_weight=weight)
