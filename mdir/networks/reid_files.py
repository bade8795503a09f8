"""Training states of SpCL and Cluster Contrast (``model_best.pth.tar``), to our form and back.

Theirs holds weights without a word on the network; what it was is read off the weights.
"""

from cirtorch.utils.errors import DataError

_DEPTHS = {
    ((2, 2, 2, 2), 2): "resnet18",
    ((3, 4, 6, 3), 2): "resnet34",
    ((3, 4, 6, 3), 3): "resnet50",
    ((3, 4, 23, 3), 3): "resnet101",
    ((3, 8, 36, 3), 3): "resnet152",
}
_IBN = {"resnet50": "resnet_ibn50a", "resnet101": "resnet_ibn101a"}
_PARALLEL = "module."
# Persons; networks of vehicles take 224_224, which a scenario says.
_DATA = {
    "mean_std": [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]],
    "transforms": "resize_to:128_256 | pil2np | totensor | normalize",
}


def from_reid(state: dict, path: str) -> dict:
    """The dict of one network for a file of SpCL or Cluster Contrast.

    Max pooling leaves no trace in the weights: average is taken where there is no exponent.

    Args:
        state: ``{"state_dict", "epoch", "best_mAP"}``.
        path: of the file, for messages.

    Raises:
        DataError: the weights are of another network.
    """
    weights = state["state_dict"]
    if not isinstance(weights, dict) or not all(isinstance(key, str) for key in weights):
        raise DataError(f"{path}: its state_dict holds no weights by name")
    weights = {key.removeprefix(_PARALLEL): value for key, value in weights.items()}
    model = {
        "architecture": "reid_resnet",
        "backbone": _backbone(weights, path),
        "pooling": "gem" if "gap.p" in weights else "avg",
        "features": len(weights["feat.weight"]) if "feat.weight" in weights else 0,
        "norm": True,
        "num_classes": len(weights["classifier.weight"]) if "classifier.weight" in weights else 0,
        "domains": 2 if any(".BN_T." in key for key in weights) else 1,
        "pretrained": True,
    }
    return {
        "type": "SingleNetwork",
        "frozen": False,
        "network_params": {"model": model, "runtime": {"wrappers": "", "data": dict(_DATA)}},
        "model_state": weights,
    }


def to_reid(state: dict, epoch: int, best_map: float) -> dict:
    """The training state that the published programs read.

    Args:
        state: the dict of one network.
        epoch: how many there were.
        best_map: the highest mAP so far, 0 to 1.

    Raises:
        DataError: it is not a re-identification network.
    """
    architecture = state["network_params"]["model"]["architecture"]
    if architecture != "reid_resnet":
        raise DataError(f"only a reid_resnet has the form of SpCL, this is a {architecture}")
    weights = {_PARALLEL + key: value for key, value in state["model_state"].items()}
    return {"state_dict": weights, "epoch": epoch, "best_mAP": best_map}


def _backbone(weights, path):
    name = resnet_of(weights, [f"base.{layer}." for layer in range(4, 8)])
    if any(".IN." in key for key in weights):
        name = _IBN.get(name)
    if name is None:
        raise DataError(
            f"{path}: not a network; it has the key 'state_dict', but neither 'meta' nor the "
            "weights of a re-identification network (base.4.0.conv1.weight, ...)"
        )
    return name


def resnet_of(keys, layers: list[str]) -> str | None:
    """Which ResNet has these keys of weights; None: none of them.

    Args:
        layers: how the keys of its four layers begin, ``"layer1."`` and so on.
    """
    blocks = tuple(
        len({key[len(layer) :].split(".")[0] for key in keys if key.startswith(layer)})
        for layer in layers
    )
    convolutions = sum(f"{layers[0]}0.conv{number}.weight" in keys for number in (1, 2, 3))
    return _DEPTHS.get((blocks, convolutions))
