"""Convolutional features cut out of classification networks, always ending in a ReLU."""

import torch
from torch import nn

from cirtorch.networks.functions import SCHEME, named_function
from cirtorch.networks.published import FEATURES
from cirtorch.utils.errors import DataError, suggest
from cirtorch.utils.weight_files import load_state, load_url

OUTPUT_DIM = {
    "alexnet": 256,
    "vgg11": 512,
    "vgg13": 512,
    "vgg16": 512,
    "vgg19": 512,
    "resnet18": 512,
    "resnet34": 512,
    "resnet50": 2048,
    "resnet101": 2048,
    "resnet152": 2048,
    "densenet121": 1024,
    "densenet169": 1664,
    "densenet201": 1920,
    "densenet161": 2208,
    "squeezenet1_0": 512,
    "squeezenet1_1": 512,
}
_FAMILIES = ("resnext", "regnet")
_HUB = "torch.hub://"


def build_features(architecture, pretrained=False, model_dir=None):
    """The layers of a backbone up to its last feature map.

    Args:
        architecture: a name of :data:`OUTPUT_DIM`, or torchvision's resnext and regnet names.
        pretrained: False: random. True: the published Caffe weights where there are any, else
            torchvision's. ``torch.hub://REPO``: the hub entry named like the architecture.
            ``python.lib://PACKAGE.MODULE.FUNCTION/key=value,...``: calls that function, see
            :func:`cirtorch.networks.functions.named_function`. Any other text: path of a state of
            the features.
        model_dir: folder of downloaded weights.

    Returns:
        list of modules; ``[B, 3, H, W] -> [B, D, h, w]``.

    Raises:
        ValueError: the architecture is unknown.
        DataError: weights cannot be had or do not fit.
    """
    check_architecture(architecture)
    if isinstance(pretrained, str) and "://" in pretrained:
        return _cut(architecture, _from_elsewhere(architecture, pretrained))
    models = _models()
    net = getattr(models, architecture)(weights=None)
    if pretrained is True and architecture not in FEATURES:
        weights = models.get_model_weights(architecture)["IMAGENET1K_V1"]
        load_state(net, load_url(weights.url, model_dir, named_hash=True), weights.url)
    features = _cut(architecture, net)
    if pretrained is True and architecture in FEATURES:
        url = FEATURES[architecture]
        load_state(nn.Sequential(*features), load_url(url, model_dir), url)
    elif isinstance(pretrained, str):
        load_state(nn.Sequential(*features), pretrained, pretrained)
    return features


def output_dim(architecture, features):
    """Channels of the last feature map."""
    if architecture in OUTPUT_DIM:
        return OUTPUT_DIM[architecture]
    features = nn.Sequential(*features)
    training = features.training
    with torch.no_grad():
        channels = features.eval()(torch.zeros(1, 3, 64, 64)).shape[1]
    features.train(training)
    return channels


def check_architecture(architecture):
    """Raise ValueError unless the name is one of a known architecture."""
    known = architecture in OUTPUT_DIM
    if known or (architecture.startswith(_FAMILIES) and hasattr(_models(), architecture)):
        return
    raise ValueError(
        f"Unsupported or unknown architecture: {architecture!r}; known are {', '.join(OUTPUT_DIM)} "
        f"and torchvision's resnext and regnet names.{suggest(architecture, OUTPUT_DIM)}"
    )


def _models():
    import torchvision  # late: takes as long as torch itself

    return torchvision.models


def _cut(architecture, net):
    if architecture.startswith(("alexnet", "vgg")):
        return list(net.features.children())[:-1]
    if architecture.startswith("densenet"):
        return [*net.features.children(), nn.ReLU(inplace=True)]
    if architecture.startswith("squeezenet"):
        return list(net.features.children())
    return list(net.children())[:-2]


def check_elsewhere(architecture, source):
    """Raise ValueError where text with ``://`` names nothing that :func:`build_features` calls."""
    if source.startswith(SCHEME):
        named_function(source, architecture)
    elif not source.startswith(_HUB):
        kind = source.partition("://")[0]
        raise ValueError(
            f"pretrained {source!r}: {kind!r} is unknown; allowed are {_HUB}REPO, "
            f"{SCHEME}PACKAGE.MODULE.FUNCTION/key=value and paths"
        )


def _from_elsewhere(architecture, source):
    check_elsewhere(architecture, source)
    if source.startswith(_HUB):
        return _from_hub(source.removeprefix(_HUB), architecture)
    function, values = named_function(source, architecture)
    return function(**values)


def _from_hub(repository, architecture):
    try:
        return torch.hub.load(repository, architecture, trust_repo="check")
    except Exception as error:
        # torch asks whether the repository is trusted, and there may be nobody to answer
        asked = isinstance(error, EOFError) or "Untrusted" in str(error)
        reason = (
            "it is not trusted, and its code would be run. Answer torch's question once, where "
            "you can read the code: "
            f"torch.hub.load({repository!r}, {architecture!r}, trust_repo='check')"
            if asked
            else error
        )
        raise DataError(f"{_HUB}{repository}: {reason}") from error
