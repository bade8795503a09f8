"""Losses on tuples of descriptors: columns query, positive, negatives, tuple after tuple."""

from typing import Annotated

import torch
from torch import nn

from cirtorch.layers import loss as cirtorch_loss
from mdir.losses.value import LossValue
from mdir.registry import Check, register


def join_labels(label) -> torch.Tensor:
    """Targets of a batch of tuples as one vector ``[N]`` of -1 (query), 1 (positive), 0."""
    return torch.cat(list(label)) if isinstance(label, (list, tuple)) else label.flatten()


@register("criterion", "contrastive")
class Contrastive(cirtorch_loss.ContrastiveLoss):
    """``1/2 y d^2 + 1/2 (1 - y) max(margin - d, 0)^2``, summed over the pairs of all tuples.

    ``(x [D, N], label [N] or a list of them) -> scalar``.

    Args:
        margin: distance from which on a negative costs nothing.
        eps: ignored; written in older scenarios.
    """

    reduction = "sum"
    sums_over_tuples = True

    def __init__(self, *, margin: float = 0.7, eps: float | None = None):
        super().__init__(margin=margin)

    def forward(self, x, label):
        return super().forward(x, join_labels(label))


@register("criterion", "triplet")
class Triplet(cirtorch_loss.TripletLoss):
    """``max(|q - p|^2 - |q - n|^2 + margin, 0)``, summed over the negatives of all tuples.

    ``(x [D, N], label [N] or a list of them) -> scalar``; one positive a tuple.
    """

    reduction = "sum"
    sums_over_tuples = True

    def __init__(self, *, margin: float = 0.1):
        super().__init__(margin=margin)

    def forward(self, x, label):
        return super().forward(x, join_labels(label))


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"expected numbers separated by commas, got {text!r}") from None


@register("criterion", "contrastive_multidesc")
class ContrastiveMultidesc(nn.Module):
    """Weighted sum of the contrastive losses of several descriptors of the same tuples.

    ``(list of [D_i, N], label) -> LossValue`` with the unweighted losses as parts 0, 1, ...

    Args:
        margin: as for ``contrastive``.
        weights: list, or text such as ``"0.25,2"``; null: equal weights that sum to one.
    """

    reduction = "sum"

    def __init__(
        self,
        *,
        margin: float = 0.7,
        weights: list[float] | Annotated[str, Check(_numbers)] | None = None,
        eps: float | None = None,
    ):
        super().__init__()
        self.contrastive = Contrastive(margin=margin)
        self.weights = _numbers(weights) if isinstance(weights, str) else weights

    def forward(self, x, label):
        weights = self.weights or [1 / len(x)] * len(x)
        losses = [self.contrastive(descriptor, label) for descriptor in x]
        total = sum(weight * loss for weight, loss in zip(weights, losses, strict=True))
        return LossValue(total, {str(i): loss for i, loss in enumerate(losses)})
