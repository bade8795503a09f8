"""Criteria that only hold others, for methods that take several."""

from typing import Annotated

from torch import nn

from mdir.registry import Problem, Section, register

Criterion = Annotated[dict, Section("criterion", build=True)]


@register("criterion", "loss_set")
class LossSet(nn.Module):
    """Criteria by name: ``losses["pixel"]``. Not callable."""

    reduction = "mean"

    def __init__(self, **losses: Criterion):
        super().__init__()
        self.losses = nn.ModuleDict(losses)

    def __getitem__(self, name: str) -> nn.Module:
        return self.losses[name]

    def __contains__(self, name: str) -> bool:
        return name in self.losses


def _check_cycle(section):
    """Each criterion is of the type that the method calls."""
    wanted = {"loss_G": "multihead_loss", "loss_D": "discriminator_loss"}
    for key, value in section.items():
        kind = wanted.get(key[:6])
        if kind and isinstance(value, dict) and value.get("loss") not in (kind, None):
            yield Problem((key, "loss"), f"expected {kind!r}, got {value['loss']!r}")


@register("criterion", "cycle_loss", check=_check_cycle)
class CycleLoss(nn.Module):
    """The four criteria of CycleGAN. Not callable.

    Args:
        loss_G_X, loss_G_Y: ``multihead_loss`` with the heads ``adversarial`` and ``cycle`` (and
            ``identity`` where the method's identity loss is wanted).
        loss_D_X, loss_D_Y: ``discriminator_loss``.
    """

    reduction = "mean"

    def __init__(
        self,
        *,
        loss_G_X: Criterion,
        loss_G_Y: Criterion,
        loss_D_X: Criterion,
        loss_D_Y: Criterion,
    ):
        super().__init__()
        self.loss_G_X, self.loss_G_Y = loss_G_X, loss_G_Y
        self.loss_D_X, self.loss_D_Y = loss_D_X, loss_D_Y
