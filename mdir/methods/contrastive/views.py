"""What the methods that learn from several views of an image share."""

import torch
from torch import Tensor, nn

from mdir.methods.base import Method


def forward_views(network, views) -> list[tuple[Tensor, Tensor]]:
    """(feature, projection) of each view.

    Batch normalisation in train mode takes its statistics from one view at a time in the published
    code, and updates its running ones once a view: joining the views would change the result. They
    go through in one pass only where no such layer is at work.
    """
    if len({view.shape for view in views}) > 1 or _uses_batch_statistics(network.model):
        return [network(view) for view in views]
    # Some views may come from the loader and others be made on the network's device.
    features, projections = network(torch.cat([view.to(network.device) for view in views]))
    size = len(views[0])
    return list(zip(features.split(size), projections.split(size), strict=True))


def _uses_batch_statistics(model) -> bool:
    return any(
        isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
        for module in model.modules()
    )


class ViewsMethod(Method):
    """Base: one loss over the views of a batch, one optimisation step.

    A batch is ``(views, about)``: a list of tensors (B, 3, H, W) and a dict of long tensors (B,)
    with ``index`` (the image in the dataset) and ``label`` (the instance). A child says in
    ``loss`` what to minimise, in ``after_step`` what follows the step.
    """

    def step(self, batch):
        views, about = batch
        loss = self.loss(views, about)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.after_step(about)
        return {"total": loss.detach()}

    def loss(self, views, about) -> Tensor:
        """The loss of a batch, a scalar with its graph."""
        raise TypeError(f"{type(self).__name__} defines no loss")

    def after_step(self, about) -> None:
        """Refresh memories once the network has been stepped; nothing by default."""
