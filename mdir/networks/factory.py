"""How a network comes about: from a scenario's section, from files, from loaded states.

Sections are read by the components in :mod:`mdir.networks.sections`, files by
:mod:`mdir.networks.files`; what a file holds becomes a network here, one function a type.
"""

from copy import deepcopy
from functools import partial

from cirtorch.utils.errors import DataError
from cirtorch.utils.weight_files import load_state
from mdir import registry
from mdir.errors import UserError
from mdir.networks.base import Network
from mdir.networks.comparing import Differs, require_equal
from mdir.networks.containers import (
    CirSequentialNetwork,
    NetworkSet,
    SequentialNetwork,
    sequence_names,
)
from mdir.networks.files import read_network_files
from mdir.networks.runtime import with_stored
from mdir.networks.single import SingleNetwork
from mdir.networks.stored import require_params, take_keys


def initialize_network(section: dict, device) -> Network:
    """The network of a training scenario's ``network`` section, checked already."""
    return registry.make("network", section, device)


def load_network(section: dict, device) -> Network:
    """The network of a section ``{path, runtime}``; without a path as :func:`initialize_network`.

    ``path`` is a network file, a run's folder or a URL. Top-level keys of ``runtime`` replace the
    stored ones; null, ``{}`` and ``load_from_checkpoint`` leave them.

    Raises:
        UserError, DataError: the section or the files are not as they must be.
    """
    if not section.get("path"):
        return initialize_network(section, device)
    told = section.get("model")
    states = read_network_files(section["path"], told)
    trusted = {"path": section["path"], "model": told} if told else None
    try:
        return network_from_state(states, section.get("runtime"), trusted, device)
    except (UserError, DataError) as error:
        raise UserError(f"{section['path']}: {error}") from None


def network_from_state(
    states: dict, runtime=None, section=None, device="cpu", name: str = "net"
) -> Network:
    """Build a network from the dicts of its files.

    Args:
        states: ``{"net": dict, member: dict, ...}`` as ``state_dict`` gives it.
        runtime: updates the stored runtime key by key; null changes nothing.
        section: the scenario's ``network`` section, which must describe the same network.
        name: which of the states to build.

    Raises:
        UserError: a state is not one of a network, or differs from ``section``.
    """
    if name not in states:
        raise UserError(f"network {name!r} is missing among {', '.join(states)}")
    state = states[name]
    kind = state.get("type") if isinstance(state, dict) else None
    if not isinstance(kind, str) or kind not in TYPES:
        known = ", ".join(sorted(TYPES))
        raise UserError(f"network {name!r}: unknown type {kind!r}. Allowed: {known}")
    given = (section or {}).get("type", kind)
    if TYPES.get(given) is not TYPES[kind]:
        raise Differs(f"network {name!r}: the scenario says {given}, the checkpoint {kind}")
    return TYPES[kind](states, name, runtime=runtime, section=section, device=device)


def model_with_weights(params: dict, weights: dict, name: str, told: dict | None = None):
    """The model of an architecture section, holding the given weights.

    Nothing is fetched: pretrained weights and whitening files named in the section would be
    overwritten anyway.

    Args:
        told: the section as the scenario has it, where it has one.

    Raises:
        UserError: the weights do not fit, or a file alone names code of others that would run.
    """
    component = registry.lookup("architecture", params.get("architecture"))
    if getattr(component, "runs_code_of_others", False) and params != told:
        raise UserError(
            f"network {name!r}: its file names code of others, which runs only where the scenario "
            f"says so too: a section of type SingleNetwork with model: {params}"
        )
    model = registry.build("architecture", without_fetching(params))
    load_state(model, weights, f"network {name!r}")
    return model


def without_fetching(params: dict) -> dict:
    """An architecture section that builds the same layers without reading any weights."""
    params = dict(params)
    if params.get("pretrained"):
        fields, _ = registry.schema(registry.lookup("architecture", params["architecture"]))
        field = fields.get("pretrained")
        admits_false = field is None or not list(registry.check(field.annotation, False))
        params["pretrained"] = False if admits_false else None
    if isinstance(params.get("whitening"), str):
        params["whitening"] = True
    return params


def single_from_state(states, name, *, runtime, section, device) -> SingleNetwork:
    """One model, as its own file describes it."""
    keys = ("network_params", "model_state")
    frozen, params, weights = take_keys(states[name], keys, name)
    require_params(params, name)
    params = {"model": params["model"], "runtime": dict(params["runtime"])}
    if section is not None and "path" in section:
        given = with_stored(section.get("runtime") or {}, params["runtime"])
        require_equal(
            given, {key: params["runtime"].get(key) for key in given}, f"network {name!r}"
        )
    elif section is not None:
        given = {key: section.get(key) for key in ("model", "runtime")}
        require_equal(given, params, f"network {name!r}")
    # A step that uses a network names what it changes, new wrappers say; the preprocessing it was
    # trained with stays. A section that describes a network is its whole runtime (sections.py).
    params["runtime"] |= with_stored(runtime or {}, params["runtime"])
    model = model_with_weights(params["model"], weights, name, (section or {}).get("model"))
    return SingleNetwork(model, deepcopy(params), frozen=frozen, device=device)


def _link_from_state(states, name, **given):
    raise UserError(f"network {name!r}: a link has no weights; load the network it belongs to")


def _set_from_state(states, name, *, runtime, section, device):
    if runtime:
        raise UserError(f"network {name!r}: a NetworkSet takes no runtime, got {runtime!r}")
    frozen, order, _ = take_keys(states[name], ("network_order", "network_hierarchy"), name)
    members = _members_from_states(states, order, {}, section, device, name)
    return NetworkSet(members, frozen=frozen, device=device)


def _sequence_from_state(cls, states, name, *, runtime, section, device):
    frozen, order, _ = take_keys(states[name], ("sequence", "network_hierarchy"), name)
    section = section and dict(section)
    rearrange = section.pop("rearrange_wrappers", True) if section else True
    if section:
        given = {"sequence": sequence_names(section.pop("sequence"))}
        require_equal(given, {"sequence": list(order)}, f"network {name!r}")
    if len(order) != 2:
        raise UserError(f"network {name!r}: a sequence has two members, the file has {len(order)}")
    runtimes = _runtime_of_members(runtime, order, name)
    members = _members_from_states(states, order, runtimes, section, device, name)
    return cls(members, rearrange_wrappers=rearrange, frozen=frozen, device=device)


def _runtime_of_members(runtime, order, name):
    """A sequence's runtime by member: wrappers are the last's, data the first's."""
    runtime = runtime if isinstance(runtime, dict) else {}
    unknown = set(runtime) - {"wrappers", "data"}
    if unknown:
        raise UserError(f"network {name!r}: a sequence takes wrappers and data, got {unknown}")
    owners = {"data": order[0], "wrappers": order[-1]}
    return {
        member: {key: value for key, value in runtime.items() if owners[key] == member}
        for member in order
    }


def _members_from_states(states, order, runtimes, section, device, name):
    sections = {key: value for key, value in (section or {}).items() if key != "type"}
    if section is not None and set(sections) != set(order):
        raise Differs(
            f"network {name!r} has members {', '.join(sorted(order))} in the checkpoint and "
            f"{', '.join(sorted(sections))} in the scenario"
        )
    return {
        member: network_from_state(
            states, runtimes.get(member), sections.get(member), device, name=member
        )
        for member in order
    }


# What ``type`` of a file means; CirNetwork is the single network's name in older files.
TYPES = {
    "SingleNetwork": single_from_state,
    "CirNetwork": single_from_state,
    "SingleNetworkLink": _link_from_state,
    "NetworkSet": _set_from_state,
    "SequentialNetwork": partial(_sequence_from_state, SequentialNetwork),
    "CirSequentialNetwork": partial(_sequence_from_state, CirSequentialNetwork),
}
