"""Proxy Anchor (Kim et al., CVPR 2020) and SoftTriple (Qian et al., ICCV 2019) on instance labels.

The supervised references of OSSCo.
"""

import torch

from mdir.methods.contrastive.views import ViewsMethod
from mdir.registry import register


@register("method", "proxyanchor")
class ProxyAnchor(ViewsMethod):
    """Views: one of the original. Criterion: ``proxyanchor``.

    The images of one instance in both domains share a class. The proxies are parameters of the
    loss with an Adam optimizer of their own.

    Args:
        loss_lr, loss_weight_decay: of that optimizer.
    """

    views, criterion_name = 1, "proxyanchor"
    classes, keeps_preparation = None, True

    def __init__(
        self,
        network,
        optimizer,
        criterion,
        data=None,
        *,
        loss_lr: float = 1e-3,
        loss_weight_decay: float = 1e-6,
    ):
        super().__init__(network, optimizer, criterion, data)
        self.options = {"lr": loss_lr, "weight_decay": loss_weight_decay}
        self.loss_optimizer = None

    def prepare_epoch(self, dataset, epoch):
        self.classes = dataset.num_classes
        return super().prepare_epoch(dataset, epoch)

    def start(self, classes: int, dimensions: int) -> None:
        """Make the proxies and their optimizer."""
        self.classes, self.dimensions = classes, dimensions
        self.criterion.start(classes, dimensions)
        self.criterion.to(self.device)
        self.loss_optimizer = torch.optim.Adam(self.criterion.parameters(), **self.options)

    def loss(self, views, about):
        _, projections = self.network(views[0])
        if self.loss_optimizer is None:
            self.start(self.classes, projections.shape[1])
        self.loss_optimizer.zero_grad()
        return self.criterion(projections, about["label"].to(projections.device))

    def after_step(self, about):
        self.loss_optimizer.step()

    def state_dict(self):
        if self.loss_optimizer is None:
            return {}
        return {
            "classes": self.classes,
            "dimensions": self.dimensions,
            "criterion": self.criterion.state_dict(),
            "optimizer": self.loss_optimizer.state_dict(),
        }

    def load_state_dict(self, state):
        if not state:
            return
        self.start(state["classes"], state["dimensions"])
        self.criterion.load_state_dict(state["criterion"])
        self.loss_optimizer.load_state_dict(state["optimizer"])


@register("method", "softtriple")
class SoftTriple(ProxyAnchor):
    """As :class:`ProxyAnchor`, with the criterion ``softtriple``."""

    criterion_name = "softtriple"
