"""Optimizers of one network or, one for each member, of a container of networks.

A component of this kind is a factory ``f(parameters, *, ...)``; ``parameters(options)`` gives the
parameters or parameter groups of the network for torch's options (``lr``, ``weight_decay``, ...).
"""

from typing import Annotated, Any, Literal, TypedDict

import torch

from mdir.errors import UserError
from mdir.registry import Problem, Section, is_unresolved, make, refuse, register, unknown
from mdir.registry.ranges import at_least, from_below

Rate = Annotated[float, at_least(0)]
Decay = Annotated[float, at_least(0)]
Beta = Annotated[float, from_below(0, 1)]


@register("optimizer", "sgd")
def sgd(parameters, *, lr: Rate, momentum: Annotated[float, at_least(0)], weight_decay: Decay):
    """Stochastic gradient descent with momentum."""
    options: dict[str, Any] = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
    return torch.optim.SGD(parameters(options), **options)


@register("optimizer", "adam")
def adam(parameters, *, lr: Rate, beta1: Beta, beta2: Beta, weight_decay: Decay):
    """Adam (Kingma & Ba, 2015) with torch's eps of 1e-8."""
    options: dict[str, Any] = {"lr": lr, "betas": (beta1, beta2), "weight_decay": weight_decay}
    return torch.optim.Adam(parameters(options), **options)


class GroupOptions(TypedDict, total=False):
    """What parameters of one group have in the place of the optimizer's.

    Args:
        lr: learning rate. weight_decay: share of a weight that a step of rate 1 takes away.
    """

    lr: Rate
    weight_decay: Decay


@register("optimizer", "adamp")
def adamp(
    parameters,
    *,
    lr: Rate,
    beta1: Beta = 0.9,
    beta2: Beta = 0.999,
    weight_decay: Decay = 0,
    nesterov: bool = False,
    groups: dict[str, GroupOptions] | None = None,
):
    """AdamP (Heo et al., ICLR 2021): Adam without the steps that only make a weight longer.

    A weight without a gradient, such as a frozen one, stays and counts no step.

    Args:
        groups: options of single groups by the names that the network has for them, such as
            ``{fc: {lr: 1e-2}}`` for the proxies of a ``proxy_embedding``.
    """
    from timm.optim import AdamP  # imported late: timm takes its time

    options: dict[str, Any] = {"lr": lr, "betas": (beta1, beta2), "weight_decay": weight_decay}
    return AdamP(_grouped(parameters(options), groups or {}), **options, nesterov=nesterov)


def _grouped(parameters, groups):
    """Parameters or groups of them, those named in ``groups`` with these options."""
    named = {group["name"] for group in parameters if isinstance(group, dict) and "name" in group}
    nameless = "" if named else "; the network has no groups with names"
    refuse(
        Problem(("groups", name), unknown("group of parameters", name, named) + nameless)
        for name in groups
        if name not in named
    )
    return [
        {**group, **groups.get(group.get("name"), {})} if isinstance(group, dict) else group
        for group in parameters
    ]


class AlternationOptimizer:
    """Several optimizers by name, stepped one after the other.

    Args:
        optimizers: name -> torch optimizer, in the order of alternation.
        alternate_iteration: so many calls of :meth:`step` belong to one optimizer before the next
            one's turn; 0 steps all of them each time.
    """

    def __init__(self, optimizers: dict, alternate_iteration: int = 1):
        self.optimizers = dict(optimizers)
        self.alternate_iteration = alternate_iteration
        self.iteration = 0
        self.current = 0

    def step(self) -> None:
        """Step the optimizer whose turn it is (or all)."""
        self.iteration += 1
        if self.alternate_iteration == 0:
            for optimizer in self.optimizers.values():
                optimizer.step()
            return
        list(self.optimizers.values())[self.current].step()
        if self.iteration % self.alternate_iteration == 0:
            self.current = (self.current + 1) % len(self.optimizers)

    def zero_grad(self) -> None:
        """Clear the gradients of all optimizers."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()

    @property
    def param_groups(self) -> list[dict]:
        """The parameter groups of all optimizers."""
        return [group for opt in self.optimizers.values() for group in opt.param_groups]

    def __getitem__(self, name):
        return self.optimizers[name]

    def __contains__(self, name):
        return name in self.optimizers

    def __iter__(self):
        return iter(self.optimizers)

    def state_dict(self) -> dict:
        """``{name: torch's state, ..., "alternation": {iteration, optimizer}}``."""
        states = {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}
        counters = {"iteration": self.iteration, "optimizer": self.current}
        return {**states, "alternation": counters}

    def load_state_dict(self, state: dict) -> None:
        """Continue from :meth:`state_dict`."""
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state[name])
        self.iteration = state["alternation"]["iteration"]
        self.current = state["alternation"]["optimizer"]


class Alternation(TypedDict):
    """How the optimizers of a composition take turns.

    Args:
        order: their names, in the order of their turns: ``"a,b"``.
        alternate_iteration: so many iterations are one's turn; 0: all step together. Null where
            there is only one optimizer.
    """

    type: Literal["alternation"]
    order: str
    alternate_iteration: Annotated[int, at_least(0)] | None


def _check_composed(params):
    composition = params.get("composition", {})
    members = {name: section for name, section in params.items() if name != "composition"}
    active = [name for name, section in members.items() if section is not None]
    if not active:
        yield Problem((), "no member of the composition has an optimizer section")
    elif isinstance(composition, dict):
        yield from _check_turns(composition, active)


def _check_turns(composition, active):
    turns, order = composition.get("alternate_iteration"), composition.get("order")
    where = ("composition", "alternate_iteration")
    if len(active) == 1:
        if turns is not None and not is_unresolved(turns):
            yield Problem(where, f"expected null with a single optimizer, got {turns!r}")
        return
    if turns is None and "alternate_iteration" in composition:
        yield Problem(where, f"expected a whole number with {len(active)} optimizers, got null")
    known = isinstance(order, str) and not is_unresolved(order)
    if known and sorted(_split(order)) != sorted(active):
        expected = f"{', '.join(active)} in any order, each once"
        yield Problem(("composition", "order"), f"expected {expected}; got {order!r}")


@register("optimizer", "", check=_check_composed)
def composed(
    network,
    *,
    composition: Alternation,
    **members: Annotated[dict, Section("optimizer")] | None,
):
    """One optimizer for each named member; a member whose section is null is frozen."""
    absent = [name for name in members if name not in network]
    refuse(Problem((name,), f"no network named {name!r}") for name in absent)
    for name, section in members.items():
        if section is None:
            network.freeze(name)
    active = [name for name, section in members.items() if section is not None]
    order = active if len(active) == 1 else _split(composition["order"])
    optimizers = {name: _single(members[name], network, name) for name in order}
    alternate = composition["alternate_iteration"]
    return AlternationOptimizer(optimizers, 0 if alternate is None else alternate)


def make_optimizer(section: dict, network):
    """The optimizer of a scenario's ``optimizer`` section, checked already, for a network.

    Raises:
        ComponentError: the network lacks a member.
        UserError: nothing is left to train.
    """
    if "composition" not in section:
        return _single(section, network)
    return make("optimizer", section, network)


def _single(section, network, name=None):
    def parameters(options):
        groups = network.parameters(options, name) if name else network.parameters(options)
        groups = list(groups)
        if not groups:
            raise UserError(f"the {name or 'whole'} network is frozen: an optimizer has no use")
        return groups

    return make("optimizer", section, parameters)


def _split(text):
    return [part.strip() for part in text.split(",") if part.strip()]
