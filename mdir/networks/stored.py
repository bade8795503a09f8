"""Whether what a network's file holds has the kinds that it must have."""

from collections.abc import Callable
from numbers import Real

import torch

from mdir.errors import UserError


def take_keys(state: dict, keys: tuple[str, ...], name: str) -> list:
    """Values of exactly these keys of a network's file, after that of ``frozen``.

    Raises:
        UserError: keys are missing or unknown, or a value is of another kind.
    """
    keys = ("type", "frozen", *keys)
    missing, extra = set(keys) - set(state), set(state) - set(keys)
    if missing or extra:
        raise UserError(
            f"network {name!r}: a checkpoint of {state['type']} holds {', '.join(keys)}; "
            f"missing: {sorted(missing)}, unknown: {sorted(map(str, extra))}"
        )
    for key in keys[1:]:
        what, is_good = _KINDS[key]
        _require(is_good(state[key]), f"network {name!r}: {key}", what, state[key])
    return [state[key] for key in keys[1:]]


def require_params(params: dict, name: str) -> None:
    """UserError unless ``network_params`` hold ``model`` and ``runtime`` as they are stored."""
    where = f"network {name!r}: network_params"
    if set(params) != {"model", "runtime"}:
        raise UserError(f"{where} are not model and runtime")
    for key in ("model", "runtime"):
        _require(_is_mapping(params[key]), f"{where}: {key}", "a mapping", params[key])
    data = params["runtime"].get("data")
    _require(data is None or _is_mapping(data), f"{where}: runtime.data", "a mapping", data)
    for key, (what, is_good) in _DATA.items():
        value = (data or {}).get(key)
        _require(value is None or is_good(value), f"{where}: runtime.data.{key}", what, value)


def is_names(value) -> bool:
    """Whether it is a list of names of networks, each once."""
    return (
        isinstance(value, (list, tuple))
        and all(isinstance(one, str) and one and "/" not in one for one in value)
        and len(set(value)) == len(value)
    )


def _require(is_good, where, what, value):
    if not is_good:
        raise UserError(f"{where}: expected {what}, the file has {_shown(value)}")


def _shown(value):
    text = repr(value).split("\n")[0]
    return f"{type(value).__name__} {text[:40]}{'...' * (len(text) > 40)}"


def _is_mapping(value):
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def _is_weights(value):
    return _is_mapping(value) and all(torch.is_tensor(one) for one in value.values())


def _is_mean_std(value):
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(
            isinstance(part, (list, tuple)) and all(isinstance(one, Real) for one in part)
            for part in value
        )
    )


_Kind = tuple[str, Callable[[object], bool]]
_KINDS: dict[str, _Kind] = {
    "frozen": ("true or false", lambda value: isinstance(value, bool)),
    "network_params": ("a mapping", _is_mapping),
    "model_state": ("tensors by name", _is_weights),
    "network_order": (
        "names of networks, each once",
        lambda value: is_names(value) and bool(value),
    ),
    "sequence": ("names of networks, each once", lambda value: is_names(value) and bool(value)),
    "network_hierarchy": ("a mapping", lambda value: isinstance(value, dict)),
}
_DATA: dict[str, _Kind] = {
    "transforms": ("text", lambda value: isinstance(value, str)),
    "mean_std": ("a mean and a standard deviation of each channel", _is_mean_std),
}
