"""Cluster memory of Cluster Contrast (Dai et al., Cluster Contrast, ACCV 2022)."""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F

from mdir.losses.row_memory import LateBuffers, refresh, require_places, similarities
from mdir.registry import register
from mdir.registry.ranges import above, between


@register("criterion", "cluster_memory")
class ClusterMemoryLoss(LateBuffers):
    """Cross entropy of a descriptor against one unit row for each cluster.

    Args:
        temperature: divides similarities.
        momentum: share of what a row was, when it is refreshed.
        update: ``plain``: a row moves towards every image of its cluster, in the batch's order;
            ``hard``: once, towards the image of the batch that is least like it.
    """

    reduction = "mean"

    def __init__(
        self,
        *,
        temperature: Annotated[float, above(0)] = 0.05,
        momentum: Annotated[float, between(0, 1)] = 0.1,
        update: Literal["plain", "hard"] = "plain",
    ):
        super().__init__()
        self.temperature, self.momentum, self.update = temperature, momentum, update
        self.register_buffer("features", None)

    def start(self, features: torch.Tensor) -> None:
        """Set all rows, ``[C, D]`` of unit length."""
        self.features = features.detach().clone().to(self._place.device)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Similarities of ``x`` ``[B, D]``, of any length, to all clusters: ``[B, C]``."""
        rows = F.normalize(x.to(self.features.dtype), dim=1)
        return similarities(rows, self.features) / self.temperature

    def forward(self, x, labels):
        """Scalar mean over a batch.

        Args:
            x: ``[B, D]``, what the network gives in training.
            labels: ``[B]`` long, clusters from 0.
        """
        require_places(labels, len(self.features), "cluster memory: clusters")
        return F.cross_entropy(self.logits(x), labels.to(self.features.device))

    @torch.no_grad()
    def enqueue(self, x: torch.Tensor, labels: torch.Tensor) -> None:
        """Refresh the rows of a batch's clusters, after the backward pass."""
        rows = F.normalize(x.detach().to(self.features.dtype), dim=1)
        if self.update == "hard":
            chosen = self._least_alike(rows, labels.to(rows.device))
            rows, labels = rows[chosen], labels[chosen.to(labels.device)]
        refresh(self.features, labels, rows, self.momentum)

    def _least_alike(self, rows, labels):
        """Of each cluster in the batch the image farthest from its row, the first of equals."""
        alike = (rows * self.features[labels]).sum(dim=1)
        order = alike.argsort(stable=True)
        order = order[labels[order].argsort(stable=True)]
        ascending = labels[order]
        is_first = torch.ones_like(ascending, dtype=torch.bool)
        is_first[1:] = ascending[1:] != ascending[:-1]
        return order[is_first]
