"""Supervised proxy losses of pytorch-metric-learning, with the classes known at the first use."""

from pytorch_metric_learning import losses
from torch import nn

from mdir.registry import register


class _ProxyLoss(nn.Module):
    reduction = "mean"

    def __init__(self):
        super().__init__()
        self.loss = None

    def start(self, classes: int, dimensions: int) -> None:
        """Make the proxies: parameters, drawn by torch's CPU generator."""
        self.loss = self.make(classes, dimensions)

    def forward(self, embeddings, labels):
        """Scalar loss of (B, D) embeddings and (B,) long class labels."""
        return self.loss(embeddings, labels)


@register("criterion", "proxyanchor")
class ProxyAnchorLoss(_ProxyLoss):
    """Proxy Anchor (Kim et al., CVPR 2020); one proxy a class."""

    def __init__(self, *, margin: float = 0.1, alpha: float = 32):
        super().__init__()
        self.margin, self.alpha = margin, alpha

    def make(self, classes, dimensions):
        return losses.ProxyAnchorLoss(classes, dimensions, margin=self.margin, alpha=self.alpha)


@register("criterion", "softtriple")
class SoftTripleLoss(_ProxyLoss):
    """SoftTriple (Qian et al., ICCV 2019); several centres a class."""

    def __init__(
        self,
        *,
        centers_per_class: int = 10,
        la: float = 20,
        gamma: float = 0.1,
        margin: float = 0.01,
    ):
        super().__init__()
        self.options = {
            "centers_per_class": centers_per_class,
            "la": la,
            "gamma": gamma,
            "margin": margin,
        }

    def make(self, classes, dimensions):
        return losses.SoftTripleLoss(classes, dimensions, **self.options)
