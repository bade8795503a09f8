"""MoCo (He et al., CVPR 2020): keys of a slowly moving network fill a queue of negatives."""

import copy
from typing import Annotated

import torch

from mdir.methods.contrastive.views import ViewsMethod
from mdir.registry import register
from mdir.registry.ranges import between


@register("method", "moco")
class MoCo(ViewsMethod):
    """Views: two of the original. Criterion: ``moco``, which holds the queue.

    1. query = projection of view 1; key = projection of view 2 by the key network, no gradient
    2. step the query network, put the keys into the queue
    3. key parameters <- momentum * key + (1 - momentum) * query (parameters, not buffers)

    The key network stays in train mode: its batch normalisation uses the batch, and its running
    statistics, which begin anew, are never read.

    Args:
        momentum: how much of the key network stays.
        shuffle: permute the batch for the key pass and back; changes nothing on one device but
            the stream of random numbers.
    """

    views, criterion_name = 2, "moco"

    def __init__(
        self,
        network,
        optimizer,
        criterion,
        data=None,
        *,
        momentum: Annotated[float, between(0, 1)] = 0.999,
        shuffle: bool = False,
    ):
        super().__init__(network, optimizer, criterion, data)
        self.momentum, self.shuffle = momentum, shuffle
        self.key_model = _key_model(network.model)

    def loss(self, views, about):
        _, query = self.network(views[0])
        self._keys = self._project_keys(views[1].to(query.device))
        return self.criterion(query, self._keys)

    @torch.no_grad()
    def _project_keys(self, images):
        if not self.shuffle:
            return self.key_model(images)[1]
        order = torch.randperm(len(images)).to(images.device)
        return self.key_model(images[order])[1][order.argsort()]

    @torch.no_grad()
    def after_step(self, about):
        self.criterion.enqueue(self._keys)
        queries = self.network.model.parameters()
        for key, query in zip(self.key_model.parameters(), queries, strict=True):
            key.mul_(self.momentum).add_(query, alpha=1 - self.momentum)

    def state_dict(self):
        return {"criterion": self.criterion.state_dict(), "key_model": self.key_model.state_dict()}

    def load_state_dict(self, state):
        self.criterion.load_state_dict(state["criterion"])
        self.key_model.load_state_dict(state["key_model"])


def _key_model(model):
    key_model = copy.deepcopy(model).requires_grad_(False).train()
    for module in key_model.modules():
        if hasattr(module, "reset_running_stats"):
            module.reset_running_stats()
    return key_model
