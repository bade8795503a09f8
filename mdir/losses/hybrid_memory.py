"""Hybrid memory of SpCL (Ge et al., Self-paced contrastive learning, NeurIPS 2020)."""

from typing import Annotated, Literal

import torch

from mdir.losses.row_memory import LateBuffers, product, refresh, require_places, similarities
from mdir.registry import register
from mdir.registry.ranges import above, between

_EPS = 1e-6


@register("criterion", "hybrid_memory")
class HybridMemoryLoss(LateBuffers):
    """A descriptor against the mean similarity to every class, cluster and un-clustered image.

    The memory holds a unit row for each class of the source, if there is one, and each image of
    the target; ``labels`` say which rows make a cluster. Ids may have gaps.

    Args:
        temperature: divides similarities.
        momentum: share of what a row was, when it is refreshed.
        gradients: ``forward``: against the memory as it was when the loss was taken; ``published``:
            the backward pass of a call refreshes the memory, so that the calls before it get
            gradients against what the later ones have changed.
    """

    reduction = "mean"

    def __init__(
        self,
        *,
        temperature: Annotated[float, above(0)] = 0.05,
        momentum: Annotated[float, between(0, 1)] = 0.2,
        gradients: Literal["forward", "published"] = "forward",
    ):
        super().__init__()
        self.temperature, self.momentum, self.gradients = temperature, momentum, gradients
        self.register_buffer("features", None)
        self.register_buffer("labels", None)
        self.register_buffer("counts", None, persistent=False)

    def start(self, features: torch.Tensor, labels: torch.Tensor) -> None:
        """Set all rows, ``[L, D]`` of unit length, and their cluster ids ``[L]`` (long)."""
        self.features = features.detach().clone().to(self._place.device)
        self.relabel(labels)

    def relabel(self, labels: torch.Tensor) -> None:
        """Set the cluster ids ``[L]`` (long, 0 or more) of all rows."""
        if len(labels) != len(self.features) or bool((labels < 0).any()):
            raise ValueError(
                f"hybrid memory: {len(self.features)} rows need as many labels of 0 or more, got "
                f"{len(labels)} from {int(labels.min())}"
            )
        self.labels = labels.detach().clone().to(self.features.device)
        self.counts = self.labels.bincount()

    def forward(self, x, places):
        """Scalar mean over a batch.

        Args:
            x: ``[B, D]``, what the network gives in training.
            places: ``[B]`` long, the images' rows in the memory.
        """
        require_places(places, len(self.features), "hybrid memory: rows")
        if self.gradients == "published":
            products = _PublishedProduct.apply(x.to(self.features.dtype), places, self)
        else:
            products = similarities(x, self.features)
        sums = products.new_zeros(len(self.counts), len(x))
        sums = sums.index_add(0, self.labels, products.T / self.temperature)
        scores = (sums / self.counts.clamp(min=1)[:, None]).T
        # The published exp(score) / (sum + eps), both divided by exp(top) so that none overflows.
        top = scores.detach().amax(dim=1, keepdim=True).clamp(min=0)
        weights = (scores - top).exp() * (self.counts > 0)
        chances = weights / (weights.sum(dim=1, keepdim=True) + _EPS * (-top).exp())
        own = self.labels[places.to(self.labels.device)]
        return -(chances.gather(1, own[:, None]) + _EPS).log().mean()

    @torch.no_grad()
    def enqueue(self, x: torch.Tensor, places: torch.Tensor) -> None:
        """Refresh the rows of a batch, after the backward pass, in the batch's order.

        With published gradients that pass has done it, and nothing is left to do.
        """
        if self.gradients == "forward":
            self.refresh(x, places)

    def refresh(self, x: torch.Tensor, places: torch.Tensor) -> None:
        """Move the rows at ``places`` ``[B]`` towards ``x`` ``[B, D]``."""
        refresh(self.features, places, x.detach(), self.momentum)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        super()._load_from_state_dict(state_dict, prefix, *args)
        if self.labels is not None:
            self.counts = self.labels.bincount()


class _PublishedProduct(torch.autograd.Function):
    """Dot products with the memory, whose gradient takes it as it is by then, and refreshes it."""

    @staticmethod
    def forward(ctx, x, places, memory):
        ctx.memory = memory
        ctx.save_for_backward(x, places)
        return product(x, memory.features.T)

    @staticmethod
    def backward(ctx, gradient):
        x, places = ctx.saved_tensors
        result = product(gradient, ctx.memory.features)
        ctx.memory.refresh(x, places)
        return result, None, None
