"""Weighted sums of named losses."""

from typing import Annotated

from torch import nn

from cirtorch.utils.errors import nearest
from mdir.losses.value import LossValue
from mdir.registry import Problem, Section, register, unknown

# What the methods call: of two names that are alike and differ, this one is spelt right.
HEADS = ("adversarial", "cycle", "edge", "hed", "identity", "nce")


class WeightedLosses(nn.Module):
    """Named criteria and their weights; base of the losses that add them up.

    Args:
        weights: one number a loss, by name, or one number for all.
        normalize_weights: divide the weights by their sum.
        losses: further keys are the criteria, in the order in which they are added.
    """

    reduction = "mean"

    def __init__(
        self,
        *,
        weights: float | dict[str, float],
        normalize_weights: bool,
        **losses: Annotated[dict, Section("criterion", build=True)],
    ):
        super().__init__()
        self.losses = nn.ModuleDict(losses)
        if not isinstance(weights, dict):
            weights = dict.fromkeys(losses, weights)
        weights = {name: float(weights[name]) for name in losses}
        self.normalized = normalize_weights
        total = sum(weights.values()) if normalize_weights else 1
        self.weights = {name: weight / total for name, weight in weights.items()}

    def _add(self, pairs) -> LossValue:
        parts = {
            name: self.weights[name] * loss(*pairs[name]) for name, loss in self.losses.items()
        }
        totals = [part.total if isinstance(part, LossValue) else part for part in parts.values()]
        return LossValue(sum(totals), parts)


def _check_weights(section):
    """Weights and losses must have the same names, and their sum must be one to divide by."""
    weights = section.get("weights")
    losses = [key for key in section if key not in ("weights", "normalize_weights")]
    if not losses:
        yield Problem((), "no loss is named: add a key with a criterion section")
    if not isinstance(weights, dict):
        return
    for name in weights:
        if name in losses:
            continue
        near = nearest(name, [each for each in losses if each not in weights])
        if name in HEADS and near is not None and near not in HEADS:
            yield Problem((near,), unknown("head", near, weights, losses))
        else:
            yield Problem(("weights", name), unknown("loss", name, losses, weights))
    for name in losses:
        if name not in weights:
            yield Problem(("weights",), f"missing the weight of loss {name!r}")
    if section.get("normalize_weights") is True and _vanishes(weights.values()):
        yield Problem(("weights",), "the weights add up to 0 and so cannot be normalized")


def _vanishes(weights) -> bool:
    numbers = [weight for weight in weights if isinstance(weight, (int, float))]
    return len(numbers) == len(list(weights)) and sum(numbers) == 0


@register("criterion", "multihead_loss", check=_check_weights)
class MultiheadLoss(WeightedLosses):
    """Each loss judges its own head: ``output[name]`` against ``target[name]``.

    The parts are the weighted values.
    """

    def forward(self, output: dict, target: dict) -> LossValue:
        return self._add({name: (output[name], target[name]) for name in self.losses})


@register("criterion", "combination_loss", check=_check_weights)
class CombinationLoss(WeightedLosses):
    """All losses judge the same output against the same target."""

    def forward(self, output, target) -> LossValue:
        return self._add(dict.fromkeys(self.losses, (output, target)))
