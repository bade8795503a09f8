"""What a discriminator should have said (published project: gandtr)."""

from typing import Annotated

import torch
from torch import nn

from mdir.losses.value import LossValue
from mdir.registry import Section, register


@register("criterion", "discriminator_loss")
class DiscriminatorLoss(nn.Module):
    """A criterion between a discriminator's map and a constant map for "real" or "fake".

    Args:
        criterion: between map and constant (``mse``: least-squares GAN, ``bce_with_logits``: the
            original GAN).
        real, fake: the two constants. The defaults are those of gandtr and of its checkpoints;
            CycleGAN and CUT have them the other way round (``real: 1, fake: 0``), which matters
            at the start, when outputs are near 0.
    """

    reduction = "mean"

    def __init__(
        self,
        *,
        criterion: Annotated[dict, Section("criterion", build=True)],
        real: float = 0.0,
        fake: float = 1.0,
    ):
        super().__init__()
        self.criterion, self.real, self.fake = criterion, real, fake

    def target(self, prediction: torch.Tensor, is_real: bool) -> torch.Tensor:
        """The constant map of the prediction's shape and dtype."""
        return torch.full_like(prediction, self.real if is_real else self.fake)

    def forward(self, prediction, is_real: bool):
        """Loss of one map, or of a list of them (multi-scale): their plain sum.

        The last map of a list is logged as ``layer0``, the one before it as ``layer1``, ...
        """
        if isinstance(prediction, torch.Tensor):
            return self.criterion(prediction, self.target(prediction, is_real))
        losses = [self.criterion(one, self.target(one, is_real)) for one in prediction]
        last = len(losses) - 1
        return LossValue(sum(losses), {f"layer{last - i}": loss for i, loss in enumerate(losses)})
