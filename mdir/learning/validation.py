"""Losses and scores of a network on data that it is not trained on."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch

from mdir import distributed, registry
from mdir.data.loading import make_dataset, make_loader, merge_defaults
from mdir.errors import gathered
from mdir.inference.cost import measured
from mdir.inference.descriptors import prepare_dataset
from mdir.learning.score_results import (
    make_score,
    register_score,
    tell_cost,
    write_cost,
    write_rankings,
)
from mdir.learning.seeding import seed_epoch
from mdir.learning.training import make_criterion, require_batches
from mdir.losses.value import as_named
from mdir.methods.metric import batch_size, to_device
from mdir.metric_names import Metric
from mdir.registry import Holds, Problem, Section, check, refuse, register
from mdir.registry.ranges import at_least


@dataclass
class Setting:
    """What a validation works on: the network, data sections and the training's criterion.

    ``stage`` is the middle part of event keys: ``learning`` in training, ``validation`` in the
    validate step. Rankings that a score gives, and the protocol of its numbers, go to
    ``LABEL.json`` in the folder ``rankings``.
    """

    network: Any
    data: dict
    criterion: Any = None
    seed: int | None = 0
    stage: str = "learning"
    inputs: tuple = ()
    rankings: Path | None = None


def _check_single(params):
    criterion = params.get("criterion")
    if "data" not in params:
        return
    if isinstance(criterion, dict):
        kind = "score" if params["data"] is None else "criterion"
        yield from check(Section(kind), criterion, ("criterion",))
    elif criterion == "default" and params["data"] is None:
        message = "'default' needs data; without data a score section is expected"
        yield Problem(("criterion",), message)


@register("validation", "SingleValidation", check=_check_single)
class SingleValidation:
    """One loss over a data section, or one score.

    Args:
        setting: see :class:`Setting`.
        label: first part of its event keys.
        data: name of a data section, for a loss; null for a score.
        criterion: "default" (the training's) or a criterion section; a score section without data.
        network_overlay: another runtime for the network (``Network.overlay_params``).
        frequency: n for every n-th epoch; null or 0: only in the validate step.
    """

    def __init__(
        self,
        setting: Setting,
        label: str = "val",
        *,
        data: str | None,
        criterion: Literal["default"]
        | Annotated[dict, Holds(Section("criterion"))]
        | Annotated[dict, Holds(Section("score"))],
        network_overlay: dict | None,
        frequency: Annotated[int, at_least(0)] | None,
    ):
        self.label, self.frequency, self.setting = label, frequency, setting
        self.network = setting.network.overlay_params(network_overlay)
        preprocessing = {**setting.network.preprocessing, **self.network.preprocessing}
        self.score = self.dataset = None
        if data is None:
            assert isinstance(criterion, dict)  # 'default' is refused by the check
            self.network.require_normalization(criterion.get("mean_std"))
            self.score = make_score(criterion, preprocessing)
            self.decisive = getattr(self.score, "decisive", None)
        else:
            self.section = merge_defaults(setting.data[data], preprocessing)
            self.network.require_normalization(self.section.get("mean_std"))
            self.dataset = make_dataset(self.section, None, setting.inputs)
            require_batches(self.dataset, self.section)
            self.criterion = self._criterion(criterion)
            self.decisive = "loss:total"

    @property
    def members(self) -> list["SingleValidation"]:
        """The validations to run: this one."""
        return [self]

    @property
    def decisive_criterion(self) -> str | None:
        """``KEY:NAME`` of the metric that decides which epoch is best."""
        return None if self.decisive is None else self.key(self.decisive)

    @property
    def ties_are_best(self) -> bool:
        """Whether an epoch as good as the best so far takes its place; the score's to say."""
        return getattr(self.score, "ties_are_best", True)

    def is_due(self, epoch: int, last: bool = False) -> bool:
        """Whether it runs after this epoch (from 0) of a training, ``last``: the last one."""
        if not self.frequency:
            return False
        at_end = last and getattr(self.score, "at_end", False)
        return at_end or (epoch + 1) % self.frequency == 0

    def key(self, kind: str) -> str:
        """The key of its events of a kind, and the metric of ``KIND:NAME``."""
        return str(Metric(self.label, self.setting.stage, kind))

    @torch.no_grad()
    def run(self, events, epoch: int):
        """Evaluate the network and register rows; it is left in eval mode.

        Returns:
            what a score gave, None of a loss.
        """
        self.network.eval()
        if self.score is not None:
            # A score written for version 1.0 takes the device, too.
            device = {"device": self.network.device} if registry.takes(self.score, "device") else {}
            with measured() as cost:
                result = self.score(self.network, **device)
            register_score(events, epoch, self.key, result)
            if times := cost.times():
                self._register(events, epoch, None, None, "cost", times, "scalar/time")
            events.hand_on(result.kept)
            folder = self.setting.rankings if distributed.is_first() else None
            if folder is not None and (result.rankings or result.protocol):
                write_rankings(folder / f"{self.label}.json", result)
                write_cost(folder / f"{self.label}.json", cost)
            if self.setting.stage == "validation" and distributed.is_first():
                tell_cost(cost, self.label)
            return result
        self._run_loss(events, epoch)
        return None

    def _criterion(self, section):
        criterion = self.setting.criterion
        if section != "default":
            criterion = make_criterion(section, self.network.device)
        if getattr(criterion, "reduction", None) not in ("mean", "sum"):
            message = "a validation on data needs a criterion whose reduction is mean or sum"
            refuse([Problem(("criterion",), message)])
        return criterion

    def _run_loss(self, events, epoch):
        begin = time.time()
        if mined := prepare_dataset(self.dataset, self.network):
            self._register(events, epoch, None, None, "data_mining", mined, "scalar/loss")
        spent = {"prepare_data": time.time() - begin}
        self._register(events, epoch, None, None, "prepare_epoch", spent, "scalar/time")
        seed = self.setting.seed if self.setting.seed is not None else seed_epoch(None, epoch)
        loader = make_loader(self.dataset, self.section, None, seed, epoch)
        begin = time.time()
        for iteration, batch in enumerate(loader):
            loaded = time.time()
            losses = self._loss(batch)
            spent = {"prepare_data": loaded - begin, "process_batch": time.time() - loaded}
            moment = (events, epoch, iteration, len(loader))
            self._register(*moment, "loss", losses, "scalar/loss")
            self._register(*moment, "iteration", spent, "scalar/time")
            begin = time.time()

    def _loss(self, batch):
        images, targets = batch[0], to_device(batch[1], self.network.device)
        if isinstance(targets, (list, tuple)) and len(targets) == 1:
            targets = targets[0]
        loss = self.criterion(self.network(images), targets)
        divisor = batch_size(images) if self.criterion.reduction == "sum" else 1
        return {name: value / divisor for name, value in as_named(loss).items()}

    def _register(self, events, epoch, iteration, size, kind, data, dtype):
        events.register(epoch, iteration, size, self.key(kind), data, dtype)


def check_decisive(text) -> None:
    """Raise ValueError for a text that is not a criterion."""
    metric = Metric.parse(text)
    if text != "epoch" and not (metric.key and metric.name):
        raise ValueError(f"expected 'epoch' or KEY:NAME of a metric, got {text!r}")


def _check_multi(params):
    for label, section in params.items():
        if isinstance(section, dict) and section.get("type") == "MultiCriterialValidation":
            message = "validations inside another are of type SingleValidation"
            yield Problem((label, "type"), message)
    where, decisive = ("decisive_criterion",), params.get("decisive_criterion")
    if not isinstance(decisive, str) or registry.is_unresolved(decisive):
        return
    try:
        check_decisive(decisive)
    except ValueError as error:
        yield Problem(where, str(error))
        return
    labels = ["epoch", "train", *(key for key in params if key != "decisive_criterion")]
    label = Metric.parse(decisive).label
    if label not in labels:
        yield Problem(where, registry.unknown("validation", label, labels))


@register("validation", "MultiCriterialValidation", check=_check_multi)
class MultiCriterialValidation:
    """Several validations by name, one of whose metrics decides.

    Args:
        decisive_criterion: ``KEY:NAME`` (``247tokyo1k/learning/score_avg:map``), ``epoch``, or
            null: no epoch is the best.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        decisive_criterion: str | None,
        **members: Annotated[dict, Section("validation")],
    ):
        self.decisive_criterion = decisive_criterion
        self.members = gathered(
            partial(registry.make, "validation", section, setting, label)
            for label, section in members.items()
        )

    @property
    def ties_are_best(self) -> bool:
        """What the deciding member says."""
        deciding = Metric.parse(self.decisive_criterion or "").label
        return all(member.ties_are_best for member in self.members if member.label == deciding)


class NoValidation:
    """``validation: false``, or the text of a criterion that decides all the same."""

    members, ties_are_best = (), True

    def __init__(self, decisive_criterion: str | None):
        self.decisive_criterion = decisive_criterion


def make_validation(section, setting: Setting):
    """The validation of a scenario: a checked section, false, or a decisive criterion's text."""
    if section is False or isinstance(section, str):
        return NoValidation(section or None)
    return registry.make("validation", section, setting)
