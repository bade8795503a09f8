"""Networks that embed images (published project: cnnimageretrieval-pytorch).

Radenović, Tolias, Chum: "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2019.
"""

import os

import numpy as np
import torch
from torch import nn

from cirtorch.layers.normalization import L2N
from cirtorch.layers.pooling import MAC, RMAC, GeM, GeMmp, GeometricMedianWeiszfeld, Rpool, SPoC
from cirtorch.networks.backbones import OUTPUT_DIM, build_features, output_dim
from cirtorch.networks.extraction import (
    extract_local_vectors,
    extract_ms,
    extract_regional_vectors,
    extract_ss,
    extract_ssl,
    extract_ssr,
    extract_vectors,
)
from cirtorch.networks.published import FEATURES, L_WHITENING, R_WHITENING, WHITENING
from cirtorch.utils.errors import DataError
from cirtorch.utils.general import get_data_root
from cirtorch.utils.weight_files import load_state, load_url, load_weights, load_whitening

__all__ = [
    "FEATURES",
    "L_WHITENING",
    "OUTPUT_DIM",
    "POOLING",
    "R_WHITENING",
    "WHITENING",
    "ImageRetrievalNet",
    "extract_local_vectors",
    "extract_ms",
    "extract_regional_vectors",
    "extract_ss",
    "extract_ssl",
    "extract_ssr",
    "extract_vectors",
    "init_network",
    "load_network",
    "network_from_checkpoint",
    "set_batchnorm_eval",
]

POOLING = {"mac": MAC, "spoc": SPoC, "gem": GeM, "gemmp": GeMmp, "rmac": RMAC}
_MEAN = [0.485, 0.456, 0.406]
_STD = [0.229, 0.224, 0.225]
_DEFAULTS = {
    "architecture": "resnet101",
    "local_whitening": False,
    "pooling": "gem",
    "regional": False,
    "whitening": False,
    "mean": _MEAN,
    "std": _STD,
    "pretrained": True,
    "model_dir": None,
}
_SHOWN = (
    "architecture",
    "local_whitening",
    "pooling",
    "regional",
    "whitening",
    "outputdim",
    "mean",
    "std",
)


class ImageRetrievalNet(nn.Module):
    """Features, optional local whitening, pooling, optional whitening; L2-normalized descriptors.

    ``forward``: images ``[B, 3, H, W]`` -> descriptors as columns ``[D, B]``. ``meta`` tells how
    the network was made (``architecture``, ``outputdim``, ``mean``, ``std``, ...).
    ``maps_images_apart``: the descriptor of an image depends on no other image of its batch.
    """

    maps_images_apart = True

    def __init__(self, features, lwhiten, pool, whiten, meta):
        super().__init__()
        self.features = nn.Sequential(*features)
        self.lwhiten = lwhiten
        self.pool = pool
        self.whiten = whiten
        self.norm = L2N()
        self.meta = meta

    def forward(self, x):
        o = self.features(x)
        if self.lwhiten is not None:
            o = self.lwhiten(o.movedim(1, -1)).movedim(-1, 1)
        o = self.norm(self.pool(o)).squeeze(-1).squeeze(-1)
        if self.whiten is not None:
            o = self.norm(self.whiten(o))
        return o.permute(1, 0)

    def train(self, mode=True):
        """As usual, but batch normalization keeps its running statistics (its scale learns)."""
        super().train(mode)
        # Images of many sizes pass one by one: statistics of a single image would stand for those
        # of a batch, and descriptors in training would be others than those of the evaluation.
        return self.apply(set_batchnorm_eval) if mode else self

    def cuda(self, device=None):
        """As usual; without a GPU it stays where it is, so that scripts need not ask."""
        return super().cuda(device) if torch.cuda.is_available() else self

    def parameter_groups(self, opts):
        """Groups for an optimizer with the options ``opts`` (``lr``): pooling learns 10x faster.

        Order: features, local whitening, pooling (without weight decay), regional whitening,
        whitening.
        """
        groups = [{"params": list(self.features.parameters())}]
        if self.lwhiten is not None:
            groups.append({"params": list(self.lwhiten.parameters())})
        pool = self.pool.rpool if isinstance(self.pool, Rpool) else self.pool
        fast = {"lr": opts["lr"] * 10, "weight_decay": 0}
        groups.append({"params": list(pool.parameters()), **fast})
        if pool is not self.pool and self.pool.whiten is not None:
            groups.append({"params": list(self.pool.whiten.parameters())})
        if self.whiten is not None:
            groups.append({"params": list(self.whiten.parameters())})
        return groups

    def __repr__(self):
        return super().__repr__()[:-1] + self.meta_repr() + ")"

    def meta_repr(self):
        """The lines of ``meta`` as they are printed with the network."""
        lines = [f"     {key}: {self.meta[key]}\n" for key in _SHOWN]
        return "  (meta): dict( \n" + "".join(lines) + "  )\n"


def set_batchnorm_eval(module) -> None:
    """Let a layer of batch normalization keep its statistics; for ``net.apply``."""
    if "BatchNorm" in type(module).__name__:
        module.eval()


def init_network(params) -> ImageRetrievalNet:
    """Build a network.

    Args:
        params: dict with any of ``architecture`` (``resnet101``), ``local_whitening``,
            ``regional`` (False), ``pooling`` (``gem``, a name of :data:`POOLING`, or
            ``{"type": "GeometricMedianWeiszfeld", "iterations", "intermediate_gradients"}``),
            ``whitening`` (False, True, or the path of a pickled whitening), ``mean``, ``std``,
            ``pretrained`` (True, see :func:`cirtorch.networks.backbones.build_features`) and
            ``model_dir`` (where downloaded features are kept). Other keys are left alone.

    Returns:
        :class:`ImageRetrievalNet`. Linear layers hold the published whitening when ``pretrained``
        and there is one for this network; otherwise they are random and a line says so.

    Raises:
        ValueError: unknown architecture or pooling.
    """
    given = {**_DEFAULTS, **params}
    model_dir = given["model_dir"] or os.path.join(get_data_root(), "networks")
    features = build_features(given["architecture"], given["pretrained"], model_dir)
    dim = output_dim(given["architecture"], features)
    lwhiten = whiten = None
    if given["local_whitening"]:
        lwhiten = _linear(dim, given["architecture"], L_WHITENING, given["pretrained"])
    pool = _pooling(given["pooling"], dim)
    if given["regional"]:
        key = f"{given['architecture']}-{given['pooling']}-r"
        pool = Rpool(pool, _linear(dim, key, R_WHITENING, given["pretrained"]))
    if given["whitening"]:
        whiten = _whitening(dim, given)
    meta = {key: given[key] for key in _DEFAULTS if key not in ("pretrained", "model_dir")}
    return ImageRetrievalNet(features, lwhiten, pool, whiten, {**meta, "outputdim": dim})


def _pooling(pooling, dim):
    if isinstance(pooling, dict):
        options = dict(pooling)
        if options.pop("type", None) == "GeometricMedianWeiszfeld":
            return GeometricMedianWeiszfeld(**options)
    elif pooling == "gemmp":
        return GeMmp(mp=dim)
    elif pooling in POOLING:
        return POOLING[pooling]()
    raise ValueError(
        f"unknown pooling {pooling!r}; known are {', '.join(POOLING)} and "
        "{'type': 'GeometricMedianWeiszfeld', 'iterations', 'intermediate_gradients'}"
    )


def _whitening(dim, given):
    if isinstance(given["whitening"], str):
        layer, (m, P) = nn.Linear(dim, dim), load_whitening(given["whitening"])
        weight, bias = torch.from_numpy(P).float(), torch.from_numpy(-np.dot(P, m)).float()
        load_state(layer, {"weight": weight, "bias": bias.flatten()}, given["whitening"])
        return layer
    key = given["architecture"] + ("-lw" if given["local_whitening"] else "")
    key += f"-{given['pooling']}" + ("-r" if given["regional"] else "")
    return _linear(dim, key, WHITENING, given["pretrained"])


def _linear(dim, key, table, pretrained):
    layer = nn.Linear(dim, dim, bias=True)
    if pretrained and key in table:
        folder = os.path.join(get_data_root(), "whiten")
        load_state(layer, load_url(table[key], folder), table[key])
    elif pretrained:
        print(f">> {key}: no published whitening for this layer, it is initialized at random")
    return layer


def network_from_checkpoint(checkpoint, source="checkpoint"):
    """The network of a published checkpoint dict ``{"state_dict", "meta", ...}``.

    Older files without ``local_whitening``, ``regional`` or ``whitening`` have none of them. A
    whitening learned for the network stays in ``net.meta["Lw"]``.

    Raises:
        DataError: keys are missing or hold something else, or the weights do not fit.
    """
    meta, state = ({} if not isinstance(part, dict) else part for part in _parts(checkpoint))
    missing = [key for key in ("architecture", "pooling", "mean", "std") if key not in meta]
    if missing or not state:
        raise DataError(
            f"{source}: not a retrieval network; expected mappings 'state_dict' and 'meta' with "
            f"architecture, pooling, mean and std (missing: {', '.join(missing) or 'state_dict'})"
        )
    params = {key: meta[key] for key in ("architecture", "pooling", "mean", "std")}
    try:
        # a path given for whitening belongs to the machine that trained; the state has the layer
        params |= {k: bool(meta.get(k)) for k in ("local_whitening", "regional", "whitening")}
        net = init_network({**params, "pretrained": False})
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise DataError(f"{source}: its meta makes no network ({error})") from error
    load_state(net, state, source)
    if "Lw" in meta:
        net.meta["Lw"] = meta["Lw"]
    return net


def _parts(checkpoint):
    stored = checkpoint if isinstance(checkpoint, dict) else {}
    return stored.get("meta"), stored.get("state_dict")


def load_network(path) -> ImageRetrievalNet:
    """The network stored in a published checkpoint file, on the CPU, in train mode."""
    return network_from_checkpoint(load_weights(path), path)
