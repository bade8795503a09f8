"""Files of networks: reading every published form without running code, and writing our own.

Three forms hold a network of several members: a folder of ``NAME_best.pth`` beside
``net_best.pth``, one such file beside the others, and the older single file with all inside.
"""

import os
from pathlib import Path

from cirtorch.utils.errors import DataError
from cirtorch.utils.weight_files import load_weights, save_weights
from mdir.artifacts import produced, used
from mdir.networks.portable import read_network, read_tensors
from mdir.networks.proxy_files import from_proxy, is_proxy_model
from mdir.networks.reid_files import from_reid
from mdir.networks.stored import is_names
from mdir.paths import local_file

_NAMES, _INCLUDED = "_network_names", "_networks_included"


def read_weights(path: str):
    """The content of a torch file: tensors, NumPy arrays, plain containers, numbers, text only.

    Of a ``.safetensors`` file, its tensors by name.

    Raises:
        DataError: the file is absent, broken, or holds anything else (it is not run).
    """
    path = local_file(path)
    used(path)
    return read_tensors(path) if path.endswith(".safetensors") else load_weights(path)


def read_network_files(path: str, told: dict | None = None) -> dict:
    """All dicts of a stored network: ``{"net": its own, member: its own, ...}``.

    Args:
        path: a network file or the folder of a finished run, as a scenario names it (URLs too);
            ``.safetensors`` as :mod:`mdir.networks.portable` writes it.
        told: the ``model`` of the scenario's section, for published files that hold weights alone.

    Raises:
        DataError: files are missing or do not hold a network.
    """
    place = local_file(path)
    if os.path.isdir(place):
        place = os.path.join(place, "net_best.pth")
    if place.endswith(".safetensors"):
        return read_network(place)
    return read_network_set(place, told)


def read_network_set(path: str | os.PathLike, told: dict | None = None) -> dict:
    """As :func:`read_network_files`, from the file of the outermost network.

    Members stand beside it: those of ``net_epoch_03.pth`` are ``NAME_epoch_03.pth``.
    """
    path = Path(path)
    state = read_weights(str(path))
    if isinstance(state, dict) and {"meta", "state_dict"} <= set(state):
        return {"net": from_cirtorch(state, str(path))}
    if isinstance(state, dict) and "type" not in state and "state_dict" in state:
        return {"net": from_reid(state, str(path))}
    if is_proxy_model(state) and "type" not in state:
        return {"net": from_proxy(state, str(path), told)}
    if not isinstance(state, dict) or "type" not in state:
        raise DataError(f"{path}: not a network; it needs the key 'type' (or 'state_dict')")
    included = state.pop(_INCLUDED, {})
    members = state.pop(_NAMES, ())
    if not is_names(members) or not isinstance(included, dict):
        raise DataError(f"{path}: {_NAMES} and {_INCLUDED} are not names and networks of members")
    _, underscore, suffix = path.name.partition("_")
    if members and not underscore:
        raise DataError(f"{path}: its members {', '.join(members)} cannot be found beside it")
    others = {name: read_weights(str(path.with_name(f"{name}_{suffix}"))) for name in members}
    return {"net": state, **included, **others}


def network_files(states: dict) -> dict:
    """The content of each file ``NAME_*.pth`` for the states that ``state_dict()`` gives."""
    names = [name for name in states if name != "net"]
    helper = {_NAMES: names} if names else {}
    return {**states, "net": {**states["net"], **helper}}


def save_network(states: dict, path: str | os.PathLike) -> None:
    """Write a network with all its members as one file that the published code reads."""
    included = {name: state for name, state in states.items() if name != "net"}
    helper = {_INCLUDED: included} if included else {}
    save_weights({**states["net"], **helper}, path)


def write_tensors(path, tensors) -> None:
    """Write a tensor or a dict of tensors, on the CPU so that every machine reads it."""
    save_weights(tensors, path)
    produced(path)


def from_cirtorch(state: dict, path: str) -> dict:
    """The dict of one network for a file of cnnimageretrieval-pytorch (``meta``, ``state_dict``).

    Raises:
        DataError: its ``meta`` holds keys that mean nothing here.
    """
    if not isinstance(state["meta"], dict):
        raise DataError(f"{path}: its meta is no mapping")
    meta = dict(state["meta"])
    for ignored in ("outputdim", "Lw"):
        meta.pop(ignored, None)
    try:
        model = {
            "architecture": "cirnet",
            "cir_architecture": meta.pop("architecture"),
            "local_whitening": meta.pop("local_whitening", False),
            "pooling": meta.pop("pooling"),
            "regional": meta.pop("regional", False),
            "whitening": meta.pop("whitening", False),
            "pretrained": True,
        }
        mean_std = [[float(value) for value in meta.pop(key)] for key in ("mean", "std")]
    except KeyError as error:
        raise DataError(f"{path}: its meta lacks {error}") from None
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: mean and std of its meta are no numbers ({error})") from None
    if meta:
        raise DataError(f"{path}: its meta holds unknown keys {sorted(meta)}")
    data = {"mean_std": mean_std, "transforms": "pil2np | totensor | normalize"}
    return {
        "type": "SingleNetwork",
        "frozen": False,
        "network_params": {"model": model, "runtime": {"wrappers": "", "data": data}},
        "model_state": state["state_dict"],
    }
