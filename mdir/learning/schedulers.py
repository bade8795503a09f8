"""Learning rates over the epochs, as factors of the initial one.

A component of this kind is a factory ``f(epochs, *, ...)`` that returns ``factor(epoch)``; epochs
count from 0. A schedule has no state of its own: the epoch decides.
"""

import math
import re
from collections.abc import Callable, Iterator
from typing import Annotated, Literal, TypedDict

from mdir.registry import Check, Problem, Section, make, refuse, register, within
from mdir.registry.ranges import above, at_least, between


@register("scheduler", "lambda_p2p")
def lambda_p2p(epochs, *, n_epochs_decay: Annotated[int, at_least(0)]) -> Callable[[int], float]:
    """Constant, then falling linearly to 0 over the last epochs (pix2pix, CycleGAN)."""
    return lambda epoch: 1 - max(0, epoch + 1 - (epochs - n_epochs_decay)) / (n_epochs_decay + 1)


@register("scheduler", "lambda")
def lambda_ratio(epochs, *, fixed_ratio: Annotated[float, between(0, 1)]) -> Callable[[int], float]:
    """Constant for a share ``fixed_ratio`` of the epochs, then falling linearly to 0."""
    constant, falling = fixed_ratio * epochs, (1 - fixed_ratio) * epochs
    return lambda epoch: 1 - max(0, epoch + 1 - constant) / (falling + 1)


def _gamma(value) -> float:
    match = re.fullmatch(r"exp\((.+)\)", value.strip()) if isinstance(value, str) else None
    try:
        base = math.exp(float(match[1])) if match else float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"expected a number or exp(number), got {value!r}") from None
    if not 0 < base < math.inf:
        raise ValueError(f"expected more than 0, got {value}")
    return base


@register("scheduler", "gamma")
def gamma(epochs, *, gamma: Annotated[float | str, Check(_gamma)]) -> Callable[[int], float]:
    """Exponential decay, ``gamma ** epoch``; ``gamma`` may be written ``exp(-0.01)``."""
    base = _gamma(gamma)
    return lambda epoch: base**epoch


@register("scheduler", "step")
def step(
    epochs,
    *,
    step_size: Annotated[int, at_least(1)],
    gamma: Annotated[float, above(0)] = 0.1,
) -> Callable[[int], float]:
    """Times ``gamma`` after every ``step_size`` epochs (torch's ``StepLR``)."""
    return lambda epoch: gamma ** (epoch // step_size)


@register("scheduler", "const")
def const(epochs) -> Callable[[int], float]:
    """The initial learning rate throughout."""
    return lambda epoch: 1.0


def check_schedule(section, epochs) -> Iterator[Problem]:
    """What is doubtful about a schedule, or a composition of them, over so many epochs."""
    if not isinstance(section, dict) or not isinstance(epochs, int):
        return
    for name, member in section.items() if "composition" in section else ():
        if isinstance(member, dict) and "composition" not in member:
            yield from within((name,), check_schedule(member, epochs))
    decay = section.get("n_epochs_decay")
    if section.get("algorithm") == "lambda_p2p" and isinstance(decay, int) and decay > epochs > 0:
        first = lambda_p2p(epochs, n_epochs_decay=decay)(0)
        message = (
            f"the rate falls over {decay} epochs and there are only {epochs}: "
            f"the first one learns at {first:.3g} of it"
        )
        yield Problem(("n_epochs_decay",), message, warns=True)


class ScheduleSet(TypedDict):
    """``composition`` of schedules: one for each optimizer, side by side."""

    type: Literal["set"]


@register("scheduler", "")
def composed(
    epochs,
    *,
    composition: ScheduleSet,
    **members: Annotated[dict, Section("scheduler")],
) -> dict[str, Callable[[int], float]]:
    """One schedule for each optimizer of a composition."""
    return {name: make("scheduler", section, epochs) for name, section in members.items()}


class Scheduler:
    """Sets the learning rates of an optimizer.

    Args:
        optimizer: a torch optimizer or an ``AlternationOptimizer``.
        factors: one ``factor(epoch)`` for all, or one for each name of the composition.
    """

    def __init__(self, optimizer, factors):
        if isinstance(factors, dict):
            self._pairs = [(optimizer[name], factors[name]) for name in optimizer]
        else:
            self._pairs = [(optimizer, factors)]
        for part, _ in self._pairs:
            for group in part.param_groups:
                group.setdefault("initial_lr", group["lr"])

    def apply(self, epoch: int) -> None:
        """Set the learning rates that hold in ``epoch`` (from 0)."""
        for optimizer, factor in self._pairs:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor(epoch)


def make_scheduler(section: dict | None, optimizer, epochs: int) -> Scheduler:
    """The scheduler of a scenario's ``scheduler`` section; null keeps the rates constant.

    Args:
        section: checked already.

    Raises:
        ComponentError: the section does not fit the optimizer.
    """
    if section is None:
        return Scheduler(optimizer, const(epochs))
    if "composition" in section:
        refuse(_misfits(section, optimizer))
    return Scheduler(optimizer, make("scheduler", section, epochs))


def _misfits(section, optimizer):
    names = list(optimizer) if hasattr(optimizer, "optimizers") else []
    if not names:
        yield Problem(("composition",), "a set of schedules needs a composition of optimizers")
    for name in names:
        if name not in section:
            yield Problem((name,), f"missing: the optimizer of {name!r} needs a schedule")
    for name in section:
        if name != "composition" and names and name not in names:
            yield Problem((name,), f"no optimizer is named {name!r}. Optimizers: {names}")
