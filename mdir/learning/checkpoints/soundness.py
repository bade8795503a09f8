"""Whether the states that a run goes on from have the kinds that it writes."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from pathlib import Path

import torch

from cirtorch.utils.errors import DamagedFile
from mdir.errors import UserError
from mdir.networks.comparing import Differs

_ABSENT = object()
# What a state of another kind makes the code stumble with that takes it up.
_STUMBLES = (
    TypeError,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    RuntimeError,
)


def require_state(stored, path: Path) -> None:
    """Refuse a stored epoch that holds anything else than a run keeps.

    Args:
        path: the file of its learning state, beside which those of the rest are, or all of it.

    Raises:
        DamagedFile: with the file and the key.
    """
    for keys, what, is_good in _LEARNING:
        _require(stored.learning, keys, what, is_good, path)
    last = stored.epoch - 1
    _require(stored.learning, ("training", "epoch"), f"{last}", lambda v: v == last, path)
    rows = "what was logged in each epoch"
    _require(stored.learning, ("events", "data"), rows, lambda v: _is_log(v, last + 1), path)
    beside = path.with_name(path.name.replace("learning", "extra"))
    if stored.extra != {}:  # the published project keeps none
        for key in ("generators", "method"):
            _require(stored.extra, (key,), "a mapping", _is_mapping, beside)
    for name, state in stored.networks.items():
        weights = state.get("model_state") if isinstance(state, dict) else None
        for key, value in weights.items() if isinstance(weights, dict) else ():
            if torch.is_tensor(value) and value.is_floating_point() and value.isnan().any():
                place = path.with_name(path.name.replace("learning", name))
                raise DamagedFile(f"{place}: network {name!r}: {key} is not a number (NaN)")


@contextmanager
def stumbling_is_damage(source: Path):
    """What a state makes the block stumble with, as DamagedFile with the file of the state.

    Args:
        source: as ``path`` of :func:`require_state`.
    """
    try:
        yield
    except (torch.OutOfMemoryError, DamagedFile):
        raise
    except Differs as error:
        raise Differs(f"{_place_of(error, source)}: {error}") from None
    except (*_STUMBLES, UserError) as error:
        what = (str(error).splitlines() or ["nothing is said"])[0]
        place = _place_of(error, source)
        raise DamagedFile(f"{place}: is not what a run keeps ({what})") from error


def _place_of(error, source):
    """The file at fault: that of the network which a message begins with, or of the rest."""
    found = re.match(r"network '(\w+)'", str(error))
    return source.with_name(source.name.replace("learning", found[1]) if found else source.name)


def require_within(state, path) -> None:
    """DamagedFile unless it is the state of a run in the middle of an epoch."""
    for keys, what, is_good in _WITHIN:
        _require(state, keys, what, is_good, path)


def optimizer_faults(optimizer, state, name: str = "optimizer_state") -> Iterator[str]:
    """What is wrong with the state of an optimizer, of a composed one with those of its parts."""
    if not _is_mapping(state):
        yield f"{name} is not a mapping"
    elif hasattr(optimizer, "optimizers"):
        for part, each in optimizer.optimizers.items():
            yield from optimizer_faults(each, state.get(part), f"{name}.{part}")
        turn = state.get("alternation")
        counters = turn if _is_mapping(turn) else {}
        if not (_is_count(counters.get("iteration")) and _is_count(counters.get("optimizer"))):
            yield f"{name}.alternation is not two whole numbers"
        elif counters["optimizer"] >= len(optimizer.optimizers):
            yield f"{name}.alternation.optimizer is no number of an optimizer"
    else:
        yield from _group_faults(optimizer.state_dict()["param_groups"], state, name)
        yield from _moment_faults(optimizer, state.get("state"), f"{name}.state")


def _group_faults(ours, state, name):
    theirs = state.get("param_groups")
    if not isinstance(theirs, list) or len(theirs) != len(ours):
        yield f"{name}.param_groups is not a list of {len(ours)}"
        return
    for number, (own, stored) in enumerate(zip(ours, theirs, strict=True)):
        where = f"{name}.param_groups.{number}"
        if not _is_mapping(stored) or stored.get("params") != own["params"]:
            yield f"{where} is not that of {len(own['params'])} parameters"
            continue
        for key, value in own.items():
            if key in stored and not _is_alike(value, stored[key]):
                yield f"{where}.{key}: {_shown(stored[key])} stands where {value!r} was"


def _moment_faults(optimizer, entries, name):
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if not isinstance(entries, dict) or not set(entries) <= set(range(len(parameters))):
        yield f"{name} does not belong to {len(parameters)} parameters"
        return
    if not all(isinstance(entry, dict) for entry in entries.values()):
        yield f"{name} holds what is not a mapping"
        return
    kinds = {frozenset((key, type(v)) for key, v in entry.items()) for entry in entries.values()}
    if len(kinds) > 1:
        yield f"{name} is of another kind for some parameters than for others"
    for number, entry in entries.items():
        for key, value in entry.items():
            if not _is_moment(key, value, parameters[number]):
                yield f"{name}.{number}.{key} is not finite numbers for its parameter"


def _is_moment(key, value, parameter):
    if key == "step":
        return _is_finite(value.item() if _is_single(value) else value) and value >= 0
    if not torch.is_tensor(value):
        return value is None
    fits = value.numel() == 1 or value.shape == parameter.shape
    return fits and bool(torch.isfinite(value).all())


def _is_single(value):
    return torch.is_tensor(value) and value.numel() == 1


def _is_alike(ours, theirs):
    """Whether two settings are of one kind; null leaves a choice to torch."""
    if isinstance(ours, (list, tuple)):
        same = isinstance(theirs, (list, tuple)) and len(theirs) == len(ours)
        return same and all(map(_is_alike, ours, theirs))
    if ours is None or theirs is None:
        return theirs is None or isinstance(theirs, (bool, type(ours)))
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return isinstance(ours, bool) and isinstance(theirs, bool)
    if isinstance(ours, Real):
        return _is_finite(theirs)
    return isinstance(theirs, type(ours))


def _is_mapping(value):
    return isinstance(value, dict)


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_finite(value):
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _is_log(value, epochs):
    is_list = isinstance(value, (list, tuple)) and len(value) == epochs
    return is_list and all(isinstance(rows, dict) for rows in value)


def _is_usage(value):
    parts = [value.get(part) if isinstance(value, dict) else None for part in ("cpu", "io")]
    return all(isinstance(part, dict) and all(map(_is_finite, part.values())) for part in parts)


def _require(state, keys, what, is_good, path):
    value = state
    for key in keys:
        value = value.get(key, _ABSENT) if isinstance(value, dict) else _ABSENT
    if value is _ABSENT or not is_good(value):
        given = "is missing" if value is _ABSENT else f"is {_shown(value)}"
        raise DamagedFile(f"{path}: {'.'.join(keys)} {given}, expected {what}")


def _shown(value):
    text = repr(value).split("\n")[0]
    return f"{type(value).__name__} {text[:40]}{'...' * (len(text) > 40)}"


_LEARNING = (
    (("training",), "a mapping", _is_mapping),
    (("training", "type"), "text", lambda value: isinstance(value, str)),
    (("training", "params"), "a mapping", _is_mapping),
    (("training", "optimizer_state"), "a mapping", _is_mapping),
    (("training", "epoch"), "a whole number", lambda value: _is_count(value) or value == -1),
    (("validation", "params"), "what it was", lambda value: True),
    (("datasets",), "a mapping", _is_mapping),
    (("events", "consts"), "a mapping", _is_mapping),
    (("resources", "cumulative_stats"), "finite numbers under cpu and io", _is_usage),
)
_WITHIN = (
    (("epoch",), "a whole number", _is_count),
    (("networks",), "a mapping", _is_mapping),
    (("learning",), "a mapping", _is_mapping),
    (("within",), "a mapping", _is_mapping),
    (("within", "seed"), "a whole number", _is_count),
    (("within", "iteration"), "a whole number", _is_count),
    (("within", "events", "rows"), "a mapping", _is_mapping),
    (("within", "events", "processors"), "a mapping", _is_mapping),
)
