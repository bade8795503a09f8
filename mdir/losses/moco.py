"""Momentum contrast: a query against its key and a queue of earlier keys."""

from typing import Annotated

import torch
import torch.nn.functional as F

from mdir.losses.row_memory import LateBuffers
from mdir.registry import register
from mdir.registry.ranges import above, at_least


@register("criterion", "moco")
class MoCoLoss(LateBuffers):
    """InfoNCE with a queue (He et al., MoCo, CVPR 2020).

    The queue (``negs`` x D) is a ring buffer on the device of the loss; it is made of random unit
    rows when the first query tells D.
    """

    reduction = "mean"

    def __init__(
        self,
        *,
        temperature: Annotated[float, above(0)] = 0.1,
        negs: Annotated[int, at_least(1)] = 4096,
    ):
        super().__init__()
        self.temperature, self.negs = temperature, negs
        self.register_buffer("ring", None)
        self.register_buffer("oldest", torch.zeros((), dtype=torch.long))

    def start(self, dimensions: int, like: torch.Tensor) -> None:
        """Fill the queue with random unit rows of the dtype and device of ``like``."""
        rows = torch.randn(self.negs, dimensions, dtype=like.dtype)
        self.set_queue(F.normalize(rows, dim=1).to(like.device))

    def set_queue(self, rows: torch.Tensor) -> None:
        """Set the queue, (K, D), oldest row first."""
        self.ring = rows.clone()
        self.oldest.zero_()

    @property
    def queue(self) -> torch.Tensor:
        """The queue by age, (K, D), oldest row first."""
        return self.ring.roll(-int(self.oldest), dims=0)

    def forward(self, query, key):
        """Scalar mean over B rows; ``query`` and ``key`` are (B, D), the key without gradient."""
        if self.ring is None:
            self.start(query.shape[1], query)
        positives = (query * key.detach()).sum(dim=1, keepdim=True)
        logits = torch.cat([positives, query @ self.ring.T], dim=1) / self.temperature
        return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))

    @torch.no_grad()
    def enqueue(self, keys: torch.Tensor) -> None:
        """Replace the oldest rows by ``keys`` (B, D); of more than K keys the last K stay."""
        keys = keys[-len(self.ring) :]
        places = (self.oldest + torch.arange(len(keys), device=keys.device)) % len(self.ring)
        self.ring[places] = keys
        self.oldest.copy_((self.oldest + len(keys)) % len(self.ring))
