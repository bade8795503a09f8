"""NT-Xent over two views, and the sums of it that DaCo and OSSCo are made of."""

from typing import Annotated

import torch
from torch import nn

from mdir.registry import register
from mdir.registry.ranges import above, at_least

Temperature = Annotated[float, above(0)]


def simclr_loss(p: torch.Tensor, q: torch.Tensor, temperature: float) -> torch.Tensor:
    """Normalised-temperature cross-entropy of two views (Chen et al., SimCLR, ICML 2020).

    Every row is a query, its counterpart in the other view the positive, the other 2B - 2 rows the
    negatives. Log-sum-exp form: small temperatures do not overflow.

    Args:
        p, q: (B, D), expected L2-normalised by the network; row i of both shows the same image.

    Returns:
        Scalar, the mean over 2B rows.
    """
    rows = torch.cat([p, q])
    similarities = rows @ rows.T / temperature
    oneself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    denominators = similarities.masked_fill(oneself, float("-inf")).logsumexp(dim=1)
    positives = (p * q).sum(dim=1) / temperature
    return (denominators - torch.cat([positives, positives])).mean()


class _Temperature(nn.Module):
    reduction = "mean"

    def __init__(self, temperature):
        super().__init__()
        self.temperature = temperature


@register("criterion", "simclr")
class SimCLRLoss(_Temperature):
    """:func:`simclr_loss` of views (o1, o2)."""

    def __init__(self, *, temperature: Temperature = 0.1):
        super().__init__(temperature)

    def forward(self, o1, o2):
        return simclr_loss(o1, o2, self.temperature)


@register("criterion", "daco")
class DaCoLoss(_Temperature):
    """Domain-adaptive contrastive loss (leftthomas/DaCo).

    Two originals against each other, two translations against each other, and, weighted by
    ``lamda``, the first original against both translations. The second original takes no part in
    the cross term, as published.
    """

    def __init__(
        self, *, temperature: Temperature = 0.1, lamda: Annotated[float, at_least(0)] = 0.8
    ):
        super().__init__(temperature)
        self.lamda = lamda

    def forward(self, o1, o2, g1, g2):
        within = self._pair(o1, o2) + self._pair(g1, g2)
        return within + self.lamda * (self._pair(o1, g1) + self._pair(o1, g2))

    def _pair(self, p, q):
        return simclr_loss(p, q, self.temperature)


@register("criterion", "ossco")
class OSSCoLoss(_Temperature):
    """One-stage style contrast (leftthomas/OSSCo): view 1 against view 2 and a restyled view."""

    def __init__(self, *, temperature: Temperature = 0.1):
        super().__init__(temperature)

    def forward(self, p1, p2, p3):
        return simclr_loss(p1, p2, self.temperature) + simclr_loss(p1, p3, self.temperature)
