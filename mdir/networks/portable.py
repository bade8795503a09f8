"""Networks and whitenings without pickles: tensors as safetensors, everything else as JSON.

``NAME.safetensors`` holds the tensors, those of a network's members as ``MEMBER/KEY`` (``net`` for
the outermost); ``NAME.json`` the rest, with the order of the keys.
"""

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from cirtorch.utils.errors import DamagedFile, DataError
from mdir.artifacts import used, write_bytes

_WEIGHTS, _DIGEST = "model_state", "sha256"
FORMAT = "mdir-network-1"
WHITENING = "mdir-whitening-1"


def write_network(states: dict, path: str | os.PathLike, notes: dict | None = None) -> None:
    """Write the states of a network (as ``state_dict()`` gives them) beside a JSON file.

    Args:
        path: ends in ``.safetensors``.
        notes: further JSON values for a reader.
    """
    tensors, networks = {}, {}
    for name, state in states.items():
        state = dict(state)
        weights = state.pop(_WEIGHTS, None)
        if weights is not None:
            state["keys"] = list(weights)
            tensors |= {f"{name}/{key}": tensor for key, tensor in weights.items()}
        networks[name] = state
    _write(path, tensors, {"format": FORMAT, **(notes or {}), "networks": networks})


def read_network(path: str | os.PathLike) -> dict:
    """States of a network from its two files.

    Raises:
        DataError: a file is missing, broken, or of something else.
    """
    tensors, content = _read(path, FORMAT)
    states = {}
    networks = content.get("networks")
    if not isinstance(networks, dict) or not all(isinstance(s, dict) for s in networks.values()):
        raise DataError(f"{Path(path).with_suffix('.json')}: has no mapping 'networks' of mappings")
    for name, state in networks.items():
        keys = state.pop("keys", None)
        if keys is not None:
            if not isinstance(keys, list):
                raise DataError(f"{path}: the keys of network {name!r} are no list")
            absent = [key for key in keys if f"{name}/{key}" not in tensors]
            if absent:
                raise DataError(f"{path}: lacks the tensor {name}/{absent[0]}")
            state[_WEIGHTS] = {key: tensors[f"{name}/{key}"] for key in keys}
        states[name] = state
    return states


def write_whitening(m, projection, path: str | os.PathLike) -> None:
    """Write a whitening, ``m [D, 1]`` and ``P [D', D]`` in their own precision."""
    tensors = {"m": torch.as_tensor(m), "P": torch.as_tensor(projection)}
    _write(path, tensors, {"format": WHITENING, "apply": "P (v - m), divided by its norm + 1e-6"})


def read_whitening(path: str | os.PathLike) -> dict:
    """``{"m", "P"}`` as NumPy arrays from the two files of a whitening."""
    tensors, _ = _read(path, WHITENING)
    if not {"m", "P"} <= set(tensors):
        raise DataError(f"{path}: a whitening holds the tensors 'm' and 'P'")
    return {key: tensors[key].numpy() for key in ("m", "P")}


def format_of(path: str | os.PathLike) -> str:
    """What the two files hold: ``FORMAT`` or ``WHITENING`` of this module."""
    return _read_json(path)["format"]


def _write(path, tensors, content):
    path = Path(path)
    plain = {key: tensor.detach().cpu().clone().contiguous() for key, tensor in tensors.items()}
    stored = save(plain, {"format": "pt"})
    content = {**content, _DIGEST: _digest(stored, content)}
    write_bytes(path, stored)
    write_bytes(path.with_suffix(".json"), json.dumps(content, indent=1).encode())


def _digest(stored, content):
    """SHA-256 of both files, the second one in whatever layout."""
    plain = json.dumps({k: v for k, v in content.items() if k != _DIGEST}, sort_keys=True)
    return hashlib.sha256(stored + plain.encode()).hexdigest()


def _read(path, expected):
    content = _read_json(path)
    if content["format"] != expected:
        raise DataError(f"{path}: holds {content['format']}, not {expected}")
    used(path)
    tensors, stored = _load(path)
    if content.get(_DIGEST) not in (None, _digest(stored, content)):
        raise DamagedFile(
            f"{path}: it or its .json is damaged, or was changed by hand (without its entry "
            f"{_DIGEST!r} the .json is taken as it is)"
        )
    return tensors, content


def read_tensors(path: str | os.PathLike) -> dict:
    """The tensors of any ``.safetensors`` file by name."""
    return _load(path)[0]


def _load(path):
    try:
        stored = Path(path).read_bytes()
        return load(stored), stored
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedFile(f"{path}: not a readable safetensors file ({error})") from error


def _read_json(path):
    place = Path(path).with_suffix(".json")
    used(place)
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{place}: is missing; it belongs to {path}") from None
    except ValueError as error:
        raise DataError(f"{place}: not readable JSON ({error})") from error
    if not isinstance(content, dict) or content.get("format") not in (FORMAT, WHITENING):
        raise DataError(f"{place}: neither a network nor a whitening of this toolkit")
    return content
