"""Networks as scenarios describe them: the components of kind ``network`` and their checks."""

import time
from copy import deepcopy
from typing import Annotated, Literal, TypedDict

import torch

from cirtorch.utils.weight_files import load_state
from mdir import registry
from mdir.errors import UserError
from mdir.networks.base import Network
from mdir.networks.comparing import require_equal
from mdir.networks.containers import (
    CirSequentialNetwork,
    NetworkSet,
    SequentialNetwork,
    sequence_names,
)
from mdir.networks.factory import (
    TYPES,
    load_network,
    model_with_weights,
    single_from_state,
)
from mdir.networks.files import read_network_files, read_weights
from mdir.networks.runtime import FROM_CHECKPOINT, RuntimeSection, check_runtime, with_stored
from mdir.networks.single import SingleNetwork, differ, not_its_own
from mdir.registry import Holds, Problem, Section, register, within

Member = Annotated[dict, Section("network")]


def _check_stored(params):
    if isinstance(params.get("runtime"), dict):
        yield from within(("runtime",), check_runtime(params["runtime"]))


@register("network", "", check=_check_stored)
def stored_network(
    device, *, path: str, runtime: RuntimeSection | Literal["load_from_checkpoint"] | None = None
) -> Network:
    """A network as it was stored, under the stored runtime or parts of another."""
    return load_network({"path": path, "runtime": runtime}, device)


class Seed(TypedDict, total=False):
    """What ``initialize`` holds besides the initializer's own.

    Args:
        seed: of the weights; null: the clock.
    """

    seed: int | None


INITIALIZER = Section("initializer", beside=Seed)


def _check_single(params):
    runtime = params.get("runtime")
    if isinstance(runtime, dict):
        yield from within(("runtime",), check_runtime(runtime))
    yield from _check_normalization(params)
    if params.get("path"):
        return
    for key in ("model", "initialize"):
        if key not in params or (key == "model" and params[key] is None):
            yield Problem((), f"missing parameter {key!r} (needed where no 'path' is given)")
    if runtime == FROM_CHECKPOINT:
        yield Problem(("runtime",), f"{FROM_CHECKPOINT!r} needs a 'path'")
    if isinstance(params.get("initialize"), dict):
        yield from within(("initialize",), _check_initialize(params["initialize"]))


def _check_normalization(params):
    """Whether images are normalized as the model wants it, where its architecture tells."""
    try:
        told = params["runtime"]["data"]
        tells = registry.lookup("architecture", params["model"]["architecture"]).mean_std_of
        own, mean_std = tells(params["model"]), told.get("mean_std")
        if mean_std is not None and differ(mean_std, own):
            yield Problem(("runtime", "data", "mean_std"), not_its_own(own))
        if "normalize" not in (told.get("transforms") or "normalize"):
            message = "without 'normalize' the model gets images that it was not made for"
            yield Problem(("runtime", "data", "transforms"), message, warns=True)
    except (registry.ComponentError, KeyError, TypeError, ValueError, AttributeError):
        return  # no such thing, or told elsewhere


def _check_initialize(section):
    if section.get("weights") != "default":
        yield from registry.check(INITIALIZER, section)
        return
    yield from registry.check(int | None, section.get("seed"), ("seed",))
    for key in section.keys() - {"weights", "seed"}:
        yield Problem((key,), f"weights 'default' take no parameter {key!r}")


@register("network", "SingleNetwork", "CirNetwork", check=_check_single)
def single_network(
    device,
    *,
    runtime: RuntimeSection | Literal["load_from_checkpoint"],
    path: str | None = None,
    model: Annotated[dict, Section("architecture")] | None = None,
    initialize: Literal[False] | str | Annotated[dict, Holds(INITIALIZER)] | None = None,
) -> SingleNetwork:
    """One model, from a checkpoint (``path``) or fresh (``model`` and ``initialize``).

    Args:
        runtime: ``wrappers``, ``data`` (``transforms``, ``mean_std``), ``frozen``, ``model``; from
            a path also ``load_from_checkpoint``, for all of it or for single keys.
        initialize: false: weights as constructed; text: file with a state_dict; mapping:
            ``weights`` (the initializer), ``seed`` (null: the clock) and the initializer's own.
    """
    if path:
        return _from_path(path, runtime, model, device)
    network = registry.make("architecture", model)
    if isinstance(initialize, str):
        load_state(network, read_weights(initialize), initialize)
    elif initialize:
        _initialize(network, initialize)
    return SingleNetwork(network, deepcopy({"model": model, "runtime": runtime}), device=device)


def _from_path(path, runtime, model, device):
    states = read_network_files(path, model)
    state = states["net"]
    if TYPES.get(state.get("type")) is not single_from_state:
        raise UserError(f"{path}: holds a {state.get('type')}, where a SingleNetwork is expected")
    stored = state["network_params"]
    if model is not None:
        require_equal({"model": model}, {"model": stored["model"]}, path)
    # As without a path, the section is all of the network but its weights: keys it leaves out are
    # gone and the file's own `frozen` does not count, so that a scenario says what learns.
    runtime = with_stored(runtime, stored["runtime"])
    network = model_with_weights(stored["model"], state["model_state"], path, model)
    params = deepcopy({"model": stored["model"], "runtime": runtime})
    return SingleNetwork(network, params, device=device)


def _initialize(network, section):
    section = dict(section)
    seed = section.pop("seed", None)
    if section["weights"] == "default":
        return
    torch.manual_seed(int(time.time()) if seed is None else seed)
    registry.make("initializer", section, network)


def _build_members(members, device):
    return {name: registry.make("network", item, device) for name, item in members.items()}


@register("network", "NetworkSet")
def network_set(device, **members: Member) -> NetworkSet:
    """Networks by name, built in sorted order."""
    return NetworkSet(_build_members(dict(sorted(members.items())), device), device=device)


def _build_sequence(cls, device, sequence, rearrange_wrappers, members):
    members = {name: members[name] for name in sequence_names(sequence)}
    members = _build_members(members, device)
    return cls(members, rearrange_wrappers=rearrange_wrappers, device=device)


def _check_sequence(params):
    sequence = params.get("sequence")
    if not isinstance(sequence, str) or registry.is_unresolved(sequence):
        return
    names, where = sequence_names(sequence), ("sequence",)
    members = [key for key in params if key not in ("sequence", "rearrange_wrappers")]
    if len(names) != 2 or len(set(names)) != 2:
        yield Problem(where, f"expected the names of exactly two networks, got {sequence!r}")
    elif set(names) != set(members):
        for member in set(members).difference(names):
            yield Problem((member,), registry.unknown("network", member, names, members))
        message = f"names {', '.join(names)}, but the networks are {', '.join(members)}"
        yield Problem(where, message)


@register("network", "SequentialNetwork", check=_check_sequence)
def sequential_network(
    device, *, sequence: str, rearrange_wrappers: bool = True, **members: Member
) -> SequentialNetwork:
    """Two networks one after the other, ``sequence: "first,last"``."""
    return _build_sequence(SequentialNetwork, device, sequence, rearrange_wrappers, members)


@register("network", "CirSequentialNetwork", check=_check_sequence)
def cir_sequential_network(
    device, *, sequence: str, rearrange_wrappers: bool = True, **members: Member
) -> CirSequentialNetwork:
    """The same for image retrieval: lists of images stay together until the last network."""
    return _build_sequence(CirSequentialNetwork, device, sequence, rearrange_wrappers, members)
