"""Embedding networks as scenarios name them, built by :mod:`cirtorch`.

Sources: Radenović, Tolias, Chum: Fine-tuning CNN image retrieval with no human annotation (TPAMI
2019); Deep shape matching (ECCV 2018) for single-channel inputs; published project: mdir.
"""

from typing import Annotated, Literal

from torch import nn

from cirtorch.layers.functional import l2_attention
from cirtorch.layers.preprocessing import EdgeFilter
from cirtorch.networks.backbones import OUTPUT_DIM, check_elsewhere
from cirtorch.networks.imageretrievalnet import POOLING, ImageRetrievalNet, init_network
from cirtorch.utils.general import get_weights_root
from mdir.artifacts import used
from mdir.paths import local_file, resolve_path
from mdir.registry import Check, Problem, is_unresolved, register, unknown

_FAMILIES = ("resnext", "regnet")


def check_backbone(name: str) -> None:
    """ValueError unless cirtorch can cut features out of that backbone."""
    if name not in OUTPUT_DIM and not name.startswith(_FAMILIES):
        raise ValueError(unknown("backbone", name, OUTPUT_DIM))


def check_pooling(pooling: str | dict) -> None:
    """ValueError unless it is a pooling's name, or the mapping of a geometric median."""
    if isinstance(pooling, dict):
        keys = {"type", "iterations", "intermediate_gradients"}
        if pooling.get("type") != "GeometricMedianWeiszfeld" or set(pooling) != keys:
            raise ValueError(
                "expected {type: GeometricMedianWeiszfeld, iterations, intermediate_gradients}, "
                f"got {pooling}"
            )
    elif pooling not in POOLING:
        raise ValueError(unknown("pooling", pooling, POOLING))


def check_pretrained(section):
    """What ``pretrained`` may not name."""
    source, architecture = section.get("pretrained"), section.get("cir_architecture")
    if is_unresolved(source) or is_unresolved(architecture) or "://" not in str(source):
        return
    try:
        check_elsewhere(architecture, source)
    except ValueError as error:
        yield Problem(("pretrained",), str(error))


Backbone = Annotated[str, Check(check_backbone)]
Pooling = Annotated[str | dict, Check(check_pooling)]


@register("architecture", "cirnet", check=check_pretrained)
def cirnet(
    *,
    cir_architecture: Backbone,
    local_whitening: bool,
    pooling: Pooling,
    regional: bool,
    whitening: bool | str,
    pretrained: bool | str,
) -> ImageRetrievalNet:
    """Images ``[B, 3, H, W]`` -> L2-normalized descriptors as columns ``[D, B]``.

    Args:
        cir_architecture: torchvision backbone, cut after its last feature map.
        local_whitening: a linear layer on the vector of every location.
        pooling: mac, spoc, gem, gemmp, rmac, or the mapping of a geometric median.
        regional: pool regions and sum their whitened vectors.
        whitening: a linear layer on the descriptor; text: its whitening file.
        pretrained: true: published or torchvision's weights; text: a state of the features, or
            ``torch.hub://``, ``python.lib://`` (see :mod:`cirtorch.networks.backbones`).
    """
    if isinstance(pretrained, str) and "://" not in pretrained:
        pretrained = resolve_path(pretrained)
        used(pretrained)
    if isinstance(whitening, str):
        whitening = local_file(whitening)
        used(whitening)
    params = {
        "architecture": cir_architecture,
        "local_whitening": local_whitening,
        "pooling": pooling,
        "regional": regional,
        "whitening": whitening,
        "pretrained": pretrained,
        "model_dir": get_weights_root(),
    }
    net = init_network(params)
    net.meta.update(in_channels=3, out_channels=net.meta["outputdim"])
    return net


def check_inputs(inputs: dict) -> None:
    """ValueError unless it is ``{channels: 1 or 3, preprocessing: null or a mapping}``."""
    if set(inputs) - {"channels", "preprocessing"} or inputs.get("channels") not in (1, 3):
        raise ValueError(f"expected channels (1 or 3) and preprocessing, got {inputs}")
    preprocessing = inputs.get("preprocessing")
    if preprocessing is not None and preprocessing.get("type") != "edgefilter":
        raise ValueError(f"preprocessing: expected null or type edgefilter, got {preprocessing}")


class _WithInputs(ImageRetrievalNet):
    """An embedding network of one or three channels with a learned filter before it."""

    def __init__(self, net, inputs):
        super().__init__(net.features, net.lwhiten, net.pool, net.whiten, net.meta)
        self.preprocessing = None
        if inputs["channels"] == 1:
            _sum_input_channels(self.features)
            self.meta["in_channels"] = 1
        if inputs.get("preprocessing"):
            options = {k: v for k, v in inputs["preprocessing"].items() if k != "type"}
            self.preprocessing = EdgeFilter(**options)

    def forward(self, x):
        return super().forward(x if self.preprocessing is None else self.preprocessing(x))

    def parameter_groups(self, opts):
        """Groups of the embedding network, then the filter, which learns ten times faster."""
        groups = super().parameter_groups(opts)
        if self.preprocessing is not None:
            params = list(self.preprocessing.parameters())
            groups.append({"params": params, "lr": opts["lr"] * 10})
        return groups


def _sum_input_channels(features):
    """Make the first convolution take one channel as it would take three equal ones."""
    first = next(module for module in features.modules() if isinstance(module, nn.Conv2d))
    first.weight = nn.Parameter(first.weight.detach().sum(dim=1, keepdim=True))
    first.in_channels = 1


@register("architecture", "cirnet_inchan", check=check_pretrained)
def cirnet_inchan(
    *,
    cir_architecture: Backbone,
    local_whitening: bool,
    pooling: Pooling,
    regional: bool,
    whitening: bool | str,
    pretrained: bool | str,
    inputs: Annotated[dict, Check(check_inputs)],
) -> ImageRetrievalNet:
    """As ``cirnet``, for edge maps.

    Args:
        inputs: ``channels`` 1 (the first layer sums its weights) or 3; ``preprocessing`` null or
            ``{type: edgefilter}`` with w, p, beta, tau, eps.
    """
    params = (cir_architecture, local_whitening, pooling, regional, whitening, pretrained)
    return _WithInputs(_positional(*params), inputs)


class _WithAttention(ImageRetrievalNet):
    """Weighs every location by the norm of its feature vector before pooling."""

    def __init__(self, net, normalize_max):
        super().__init__(net.features, None, net.pool, None, net.meta)
        self.normalize_max = normalize_max

    def forward(self, x):
        features = self.features(x)
        weighted = features * l2_attention(features, normalize_max=self.normalize_max)
        return self.norm(self.pool(weighted)).flatten(1).t()


def check_attention(attention: dict) -> None:
    """ValueError unless it is ``{type: l2norm, normalize_max: true or false}``."""
    good = set(attention) == {"type", "normalize_max"} and attention["type"] == "l2norm"
    if not good or not isinstance(attention["normalize_max"], bool):
        raise ValueError(f"expected type l2norm and normalize_max (true or false), got {attention}")


@register("architecture", "cirnet_attention", check=check_pretrained)
def cirnet_attention(
    *,
    cir_architecture: Backbone,
    pooling: Pooling,
    regional: bool,
    pretrained: bool | str,
    attention: Annotated[dict, Check(check_attention)],
    local_whitening: Literal[False] = False,
    whitening: Literal[False] = False,
) -> ImageRetrievalNet:
    """As ``cirnet`` without whitening layers, with attention before pooling.

    Args:
        attention: ``type`` l2norm; ``normalize_max``: divide by the image's largest norm.
    """
    params = (cir_architecture, local_whitening, pooling, regional, whitening, pretrained)
    return _WithAttention(_positional(*params), attention["normalize_max"])


def _positional(cir_architecture, local_whitening, pooling, regional, whitening, pretrained):
    return cirnet(
        cir_architecture=cir_architecture,
        local_whitening=local_whitening,
        pooling=pooling,
        regional=regional,
        whitening=whitening,
        pretrained=pretrained,
    )
