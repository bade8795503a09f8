"""Losses of cosines between descriptors and one proxy a class (leftthomas/UnifiedProxy).

They have no parameters: the proxies are the network's. Cosines are ``[B, C]``, labels ``[B]`` whole
numbers from 0 to C - 1; any batch will do, one item or one class included. Everything is computed
in float32 (or float64, as the cosines are), by sums in the log domain.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mdir.errors import UserError
from mdir.registry import register
from mdir.registry.ranges import above

Scale = Annotated[float, above(0)]


class _CosineLoss(nn.Module):
    reduction = "mean"

    def forward(self, cosines: Tensor, labels: Tensor) -> Tensor:
        """Scalar loss.

        Raises:
            UserError: the shapes do not fit, a label is no class, or a cosine is not finite. On a
                GPU cosines are not looked at, which would wait; the loss is NaN.
        """
        require_classes(cosines, labels)
        cosines = cosines.to(torch.promote_types(cosines.dtype, torch.float32))
        return self.loss(cosines, labels.to(cosines.device, torch.long))


@register("criterion", "proxy_anchor")
class ProxyAnchorCosineLoss(_CosineLoss):
    """Proxy Anchor (Kim et al., CVPR 2020).

    With ``P_k`` the sum of ``exp(-scale (cos - margin))`` over the items of class k and ``N_k``
    that of ``exp(scale (cos + margin))`` over all others: the mean of ``log(1 + P_k)`` over the
    classes of the batch, plus the mean of ``log(1 + N_k)`` over all classes.
    """

    def __init__(self, *, scale: Scale = 32, margin: float = 0.1):
        super().__init__()
        self.scale, self.margin = scale, margin

    def loss(self, cosines, labels):
        own = cosines.gather(1, labels[:, None]).T
        same = labels[:, None] == labels
        attracted = (-self.scale * (own - self.margin)).expand(same.shape)
        attracted = attracted.masked_fill(~same, _LEAST).logsumexp(dim=1)
        share = 1 / same.to(cosines).sum(dim=1)  # so that items of a class count as one
        attraction = (share * F.softplus(attracted)).sum() / share.sum()
        repelled = (self.scale * cosines).scatter_(1, labels[:, None], _LEAST).logsumexp(dim=0)
        return attraction + F.softplus(repelled + self.scale * self.margin).mean()


@register("criterion", "balanced_proxy", "unified_proxy")
class BalancedProxyLoss(_CosineLoss):
    """``mean over k of log(1 + P_k / items of class k + N_k / others)`` (UnifiedProxy).

    ``P_k`` and ``N_k`` are those of :class:`ProxyAnchorCosineLoss`. Classes without an item in the
    batch count with their ``N_k`` alone.
    """

    def __init__(self, *, scale: Scale = 32, margin: float = 0.1):
        super().__init__()
        self.scale, self.margin = scale, margin

    def loss(self, cosines, labels):
        ones = torch.ones_like(labels, dtype=cosines.dtype)
        items = cosines.new_zeros(cosines.shape[1]).scatter_add(0, labels, ones)
        others, at = (len(labels) - items).clamp(min=1), labels[:, None]
        # What all items of a column share comes behind the sum: scale * margin - log(others).
        attracted = (others / items)[at].log() - self.scale * cosines.gather(1, at)
        sums = (self.scale * cosines).scatter_(1, at, attracted).logsumexp(dim=0)
        return F.softplus(sums + self.scale * self.margin - others.log()).mean()


@register("criterion", "normalized_softmax")
class NormalizedSoftmaxLoss(_CosineLoss):
    """Cross entropy of scaled cosines (Zhai & Wu: Classification is a strong baseline, 2019)."""

    def __init__(self, *, scale: Scale = 32):
        super().__init__()
        self.scale = scale

    def loss(self, cosines, labels):
        return F.cross_entropy(self.scale * cosines, labels)


@register("criterion", "proxy_nca")
class ProxyNCALoss(_CosineLoss):
    """Mean of ``-log(exp(cos) / sum over other classes of exp(cos))`` (Movshovitz-Attias, 2017)."""

    def __init__(self):
        super().__init__()

    def loss(self, cosines, labels):
        if cosines.shape[1] < 2:
            raise UserError("proxy_nca compares an item with other classes: 1 proxy is not enough")
        at = labels[:, None]
        others = cosines.scatter(1, at, _LEAST).logsumexp(dim=1)
        return (others - cosines.gather(1, at)[:, 0]).mean()


# Stands for minus infinity, and unlike it leaves no NaN in the gradient of a sum over nothing.
_LEAST = torch.finfo(torch.float32).min


def require_classes(cosines: Tensor, labels: Tensor) -> None:
    """UserError unless these are cosines ``[B, C]`` and their classes, B and C 1 or more."""
    if not isinstance(labels, Tensor):
        raise UserError(
            "proxy losses are for the method proxy, which gives them cosines and labels"
        )
    if cosines.dim() != 2 or labels.shape != cosines.shape[:1] or not cosines.numel():
        raise UserError(
            "proxy losses take cosines [B, C] and labels [B], got "
            f"{list(cosines.shape)} and {list(labels.shape)}"
        )
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise UserError(f"labels of proxy losses are whole numbers, got {labels.dtype}")
    require_labels(labels, cosines.shape[1])
    if cosines.device.type == "cpu" and not cosines.isfinite().all():
        raise UserError("cosines are not finite: the network does not give numbers any more")


def require_labels(labels: Tensor, proxies: int) -> None:
    """UserError unless each of ``[N]`` whole numbers, N 1 or more, is that of a proxy."""
    low, high = (int(bound) for bound in labels.aminmax())
    if low < 0 or high >= proxies:
        from_one = "; these seem to start at 1" if low > 0 and high == proxies else ""
        raise UserError(
            f"labels {low} to {high}, but there are {proxies} proxies: each class needs one, and "
            f"labels count from 0 to {proxies - 1}{from_one}"
        )
