"""``_model.pth`` of UnifiedProxy and ProxyAnchor, to our form and back: weights by name alone."""

import sys

import torch

from cirtorch.utils.errors import DataError
from mdir.networks.reid_files import resnet_of

_CROP = "resize:256 | center_crop:224:even | totensor"
_IMAGENET = {
    "mean_std": [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]],
    "transforms": f"{_CROP} | normalize",
}
_CAFFE = {
    "mean_std": [[104.0, 117.0, 128.0], [1.0, 1.0, 1.0]],
    "transforms": f"bgr | {_CROP} | multiply:255 | normalize",
}
_MARKS = {
    "backbone.inception_3a_1x1.weight": "inception",
    "backbone.inception3a.branch1.conv.weight": "googlenet",
}
_LAYERS = [f"backbone.layer{number}." for number in range(1, 5)]
_HEAD = ("refactor.weight", "fc.weight")
_COUNTERS = ("total_ops", "total_params")  # of the package thop, which counted operations
_UNTOLD = {"pooling": "max", "layer_norm": True, "frozen_batch_norm": True, "pretrained": True}
# What their states computed: UnifiedProxy, and ProxyAnchor since January 2021.
_PUBLISHED = [("max", True), ("avg+max", False)]


def preprocessing(backbone: str) -> dict:
    """``{"mean_std", "transforms"}`` of evaluations with a backbone, as published."""
    return dict(_CAFFE if backbone == "inception" else _IMAGENET)


def is_proxy_model(state) -> bool:
    """Whether a file holds what only a model of these projects has."""
    return isinstance(state, dict) and any(
        isinstance(key, str) and key.startswith("backbone.") for key in state
    )


def from_proxy(state: dict, path: str, told: dict | None = None) -> dict:
    """The dict of one network for a published ``_model.pth``.

    Args:
        state: weights by name.
        path: of the file, for messages.
        told: the ``model`` of a scenario's section; it says what the weights do not, the pooling
            and whether there is layer normalisation. Without it UnifiedProxy's are taken, and that
            is said.

    Raises:
        DataError: the weights are of another network.
    """
    weights = {
        key: value
        for key, value in state.items()
        if not (isinstance(key, str) and key.split(".")[-1] in _COUNTERS)
    }
    if not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in weights.items()):
        raise DataError(f"{path}: not a network; it holds more than weights by name")
    for key in _HEAD:
        if key not in weights or weights[key].dim() != 2:
            raise DataError(f"{path}: not a model of UnifiedProxy, which has a matrix {key}")
    (feature_dim, _), (classes, width) = (weights[key].shape for key in _HEAD)
    if width != feature_dim:
        raise DataError(
            f"{path}: its proxies (fc.weight) are of {width} dimensions, descriptors of "
            f"{feature_dim}"
        )
    backbone = _backbone(weights, path)
    model = {
        "architecture": "proxy_embedding",
        "backbone": backbone,
        "feature_dim": feature_dim,
        "classes": classes,
    }
    _complete(model, path, told)
    runtime = {"wrappers": "", "data": preprocessing(backbone)}
    return {
        "type": "SingleNetwork",
        "frozen": False,
        "network_params": {"model": model, "runtime": runtime},
        "model_state": weights,
    }


def is_proxy_embedding(state: dict) -> bool:
    """Whether the dict of a network is that of one."""
    model = state.get("network_params", {}).get("model", {})
    return model.get("architecture") == "proxy_embedding"


def to_proxy(state: dict) -> dict:
    """The weights by name that the published programs read.

    Args:
        state: the dict of one network.

    Raises:
        DataError: none of those programs has such a network.
    """
    if not is_proxy_embedding(state):
        raise DataError("only a proxy_embedding has the form of UnifiedProxy")
    model = state["network_params"]["model"]
    pooling, layer_norm = (model.get(key, _UNTOLD[key]) for key in ("pooling", "layer_norm"))
    if (pooling, layer_norm) not in _PUBLISHED:
        raise DataError(
            f"pooling {pooling!r} with layer_norm {str(layer_norm).lower()} is in none of the "
            "published programs, which would read the file as another network"
        )
    return dict(state["model_state"])


def _complete(model, path, told):
    """Add to a section what weights do not tell."""
    if told is None:
        model |= _UNTOLD
        print(
            f"Warning: {path} tells neither pooling nor layer_norm; they are taken to be max and "
            "true, as in UnifiedProxy (a section of type SingleNetwork with 'model' says others). "
            f"Images are seen as there, {_CROP}, unless the section tells runtime.data",
            file=sys.stderr,
        )
        return
    for key, value in model.items():
        if told.get(key, value) != value:
            raise DataError(f"{path}: its {key} is {value}, and not {told[key]}")
    model |= {key: told[key] for key in _UNTOLD if key in told}


def _backbone(weights, path):
    found = next((name for mark, name in _MARKS.items() if mark in weights), None)
    found = found or resnet_of(weights, _LAYERS)
    if found is None:
        raise DataError(
            f"{path}: the weights backbone.* are of no known network; there are ResNets, "
            "GoogLeNet and BN-Inception"
        )
    return found
