"""Published retrieval networks by name (project cnnimageretrieval-pytorch, MIT licence)."""

import os

from torch import nn

from cirtorch.networks.backbones import check_architecture
from cirtorch.networks.imageretrievalnet import POOLING, init_network, network_from_checkpoint
from cirtorch.utils.errors import DataError
from cirtorch.utils.weight_files import load_url, load_weights

_BASE = "http://cmp.felk.cvut.cz/cnnimageretrieval/data/networks/"

# mAP of revisited Oxford and Paris, medium/medium/hard/hard, at 1024 px and three scales
_PATHS = {
    # contrastive loss; 60.9 69.3 32.9 44.2 and 65.4 76.7 40.1 55.2 with whitening learned after
    "retrievalSfM120k-vgg16-gem": "retrieval-SfM-120k/retrievalSfM120k-vgg16-gem-b4dcdc6.pth",
    "retrievalSfM120k-resnet101-gem": (
        "retrieval-SfM-120k/retrievalSfM120k-resnet101-gem-b80fb85.pth"
    ),
    # triplet loss, whitening inside; 64.7 76.3 39.0 54.9, 67.8 77.6 41.7 56.3, 68.8 78.0 41.3 57.2
    "rSfM120k-tl-resnet50-gem-w": "retrieval-SfM-120k/rSfM120k-tl-resnet50-gem-w-97bf910.pth",
    "rSfM120k-tl-resnet101-gem-w": "retrieval-SfM-120k/rSfM120k-tl-resnet101-gem-w-a155e54.pth",
    "rSfM120k-tl-resnet152-gem-w": "retrieval-SfM-120k/rSfM120k-tl-resnet152-gem-w-f39cada.pth",
    # on Google Landmarks; 63.6 78.0 40.9 57.5, 67.3 80.6 44.3 61.5, 68.7 79.7 44.2 60.3
    "gl18-tl-resnet50-gem-w": "gl18/gl18-tl-resnet50-gem-w-83fdc30.pth",
    "gl18-tl-resnet101-gem-w": "gl18/gl18-tl-resnet101-gem-w-a4d43db.pth",
    "gl18-tl-resnet152-gem-w": "gl18/gl18-tl-resnet152-gem-w-21278d5.pth",
}
PRETRAINED = {name: _BASE + path for name, path in _PATHS.items()}


def open_network(name_or_path) -> nn.Module:
    """A network by its published name (fetched once) or by the path of its checkpoint.

    Raises:
        DataError: neither a known name nor a file, or the file is not such a network.
    """
    if name_or_path in PRETRAINED:
        checkpoint = load_url(PRETRAINED[name_or_path])
    elif os.path.exists(name_or_path):
        checkpoint = load_weights(name_or_path)
    else:
        raise DataError(
            f"network {name_or_path!r}: no such file, and not one of {', '.join(PRETRAINED)}"
        )
    return network_from_checkpoint(checkpoint, name_or_path)


def off_the_shelf(name) -> nn.Module:
    """A network with ImageNet weights by its name, see :func:`off_the_shelf_settings`."""
    return init_network(off_the_shelf_settings(name))


def off_the_shelf_settings(name):
    """Parameters of ``init_network`` for the name ``ARCH-POOL[-reg][-lwhiten][-whiten]``.

    Raises:
        DataError: the name is not of that form, or its architecture or pooling is unknown.
    """
    architecture, _, rest = name.partition("-")
    pooling, *options = rest.split("-")
    unknown = set(options) - {"reg", "lwhiten", "whiten"}
    if not pooling or unknown:
        raise DataError(f"network {name!r}: ARCH-POOL[-reg][-lwhiten][-whiten] expected")
    if pooling not in POOLING:
        raise DataError(f"network {name!r}: pooling {pooling!r} is not one of {', '.join(POOLING)}")
    try:
        check_architecture(architecture)
    except ValueError as error:
        raise DataError(f"network {name!r}: {error}") from None
    return {
        "architecture": architecture,
        "pooling": pooling,
        "local_whitening": "lwhiten" in options,
        "regional": "reg" in options,
        "whitening": "whiten" in options,
    }
