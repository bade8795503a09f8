"""Non-parametric instance discrimination: a memory bank and noise-contrastive estimation."""

from typing import Annotated

import torch
import torch.nn.functional as F

from mdir.losses.row_memory import LateBuffers
from mdir.registry import register
from mdir.registry.ranges import above, at_least, between


@register("criterion", "npid")
class NPIDLoss(LateBuffers):
    """NCE against a memory bank of all training images (Wu et al., CVPR 2018; leftthomas/DaCo).

    ``momentum`` weighs the *new* feature when the bank is refreshed, the reverse of the usual
    meaning (equal at the default 0.5), as published. The partition constant is estimated from the
    first batch, kept from then on, and saved with the state.
    """

    reduction = "mean"

    def __init__(
        self,
        *,
        temperature: Annotated[float, above(0)] = 0.1,
        negs: Annotated[int, at_least(1)] = 4096,
        momentum: Annotated[float, between(0, 1)] = 0.5,
    ):
        super().__init__()
        self.temperature, self.negs, self.momentum = temperature, negs, momentum
        self.register_buffer("bank", None)
        self.register_buffer("z", torch.tensor(float("nan"), dtype=torch.float64))
        self.has_z = False  # known on the host: asking the device in every step would wait for it

    def start(self, images: int, dimensions: int, like: torch.Tensor) -> None:
        """Make a bank of random unit rows, (images, dimensions), like the given tensor."""
        rows = torch.randn(images, dimensions, dtype=like.dtype)
        self.bank = F.normalize(rows, dim=1).to(like.device)

    def draw(self, positives: torch.Tensor) -> torch.Tensor:
        """Bank rows to compare with: (B, negs + 1), uniform with replacement, positives first.

        Drawn by torch's CPU generator, so that a seed gives the same rows on any device.
        """
        index = torch.randint(0, len(self.bank), (len(positives), self.negs + 1))
        index[:, 0] = positives
        return index

    def forward(self, proj, positives, index=None):
        """The loss of a batch.

        Args:
            proj: (B, D), L2-normalised.
            positives: (B,) long, the images' rows in the bank.
            index: (B, negs + 1) long from :meth:`draw`; drawn here when None.
        """
        index = (self.draw(positives.cpu()) if index is None else index).to(proj.device)
        # For banks of ordinary size one product with the whole bank moves far less memory than
        # gathering B * (negs + 1) rows of it.
        similarities = (proj @ self.bank.T).gather(1, index)
        estimates = (similarities / self.temperature).exp()
        if not self.has_z:
            self.has_z = True
            self.z.copy_(estimates.detach().double().mean() * len(self.bank))
        chances = estimates / self.z.to(estimates.dtype)
        noise = (index.shape[1] - 1) / len(self.bank)
        kept = (chances[:, :1] / (chances[:, :1] + noise)).log().sum()
        refused = (noise / (chances[:, 1:] + noise)).log().sum()
        return -(kept + refused) / len(proj)

    @torch.no_grad()
    def enqueue(self, proj: torch.Tensor, positives: torch.Tensor) -> None:
        """Refresh the rows of a batch with the features computed before the optimiser's step."""
        positives = positives.to(self.bank.device)
        rows = self.momentum * proj.detach() + (1 - self.momentum) * self.bank[positives]
        self.bank[positives] = F.normalize(rows, dim=1)

    def _load_from_state_dict(self, *args):
        super()._load_from_state_dict(*args)
        self.has_z = not bool(self.z.isnan())
