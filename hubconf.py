"""Entry points of torch.hub: networks ready to use.

    model = torch.hub.load(REPOSITORY, "gem_vgg16_hedngan")        # descriptors for retrieval
    vector = model(model.transform(image)[None])                   # PIL image -> [512]

Every entry takes ``pretrained`` (published weights, fetched once into ``<root>/weights``; without
them the network as its training starts) and ``device`` (None: the GPU if there is one). It gives a
network in evaluation, callable on a normalized batch ``[B, 3, H, W]``, with the preprocessing as
its ``transform``.

Source: Mohwald, Jenicek, Chum: Dark Side Augmentation (ICCV 2023).
"""

from mdir.data.transforms.parse import parse_transforms as _parse_transforms
from mdir.learning.compute import default_device as _default_device
from mdir.networks.factory import load_network as _load_network

dependencies = ["torch", "torchvision"]

_WEIGHTS = "http://ptak.felk.cvut.cz/personal/jenicto2/download/iccv23_gan/"
_IMAGENET = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]
_HALF = [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]


def gem_vgg16_cyclegan(pretrained=True, device=None):
    """GeM on VGG-16, night augmentation by CycleGAN: batch -> ``[512]`` or ``[512, B]``."""
    return _embedding("vgg16", "cyclegan", pretrained, device)


def gem_vgg16_hedngan(pretrained=True, device=None):
    """GeM on VGG-16, night augmentation by HED-N-GAN: batch -> ``[512]`` or ``[512, B]``."""
    return _embedding("vgg16", "hedngan", pretrained, device)


def gem_resnet101_cyclegan(pretrained=True, device=None):
    """GeM on ResNet-101, night augmentation by CycleGAN: batch -> ``[2048]`` or ``[2048, B]``."""
    return _embedding("resnet101", "cyclegan", pretrained, device)


def gem_resnet101_hedngan(pretrained=True, device=None):
    """GeM on ResNet-101, night augmentation by HED-N-GAN: batch -> ``[2048]`` or ``[2048, B]``."""
    return _embedding("resnet101", "hedngan", pretrained, device)


def cyclegan(pretrained=True, device=None):
    """Day to night by CycleGAN: batch -> batch, both normalized to -1..1."""
    return _generator("cyclegan", "instance", "normal_p2p", pretrained, device)


def hedngan(pretrained=True, device=None):
    """Day to night by HED-N-GAN: batch -> batch, both normalized to -1..1."""
    return _generator("hedngan", "batch", "kaiming_p2p", pretrained, device)


def _embedding(backbone, method, pretrained, device):
    if pretrained:
        stem = f"{_WEIGHTS}{method}_embed_{backbone}"
        evaluation = {
            "0_cirwhiten": {"whitening": f"{stem}_lw.pkl", "dimensions": None},
            "1_cirmultiscale": {"scales": True},
        }
        wrappers = {"train": None, "eval": evaluation}
        return _ready({"path": f"{stem}.pth", "runtime": {"wrappers": wrappers}}, device)
    model = {
        "architecture": "cirnet",
        "cir_architecture": backbone,
        "local_whitening": False,
        "pooling": "gem",
        "regional": False,
        "whitening": False,
        "pretrained": False,
    }
    transforms = "pil2np | apply_clahe:1.0 | totensor | normalize"
    data = {"transforms": transforms, "mean_std": _IMAGENET}
    runtime = {"wrappers": "cirfaketuplebatch", "data": data}
    return _ready(_fresh(model, False, runtime), device)


def _generator(method, norm_layer, initializer, pretrained, device):
    if pretrained:
        path = f"{_WEIGHTS}{method}_generator_X.pth"
        return _ready({"path": path, "runtime": {"wrappers": ""}}, device)
    model = {
        "architecture": "official_resnet_generator",
        "no_antialias": True,
        "no_antialias_up": True,
        "input_nc": 3,
        "output_nc": 3,
        "n_blocks": 9,
        "norm_layer": norm_layer,
    }
    data = {"transforms": "pil2np | totensor | normalize", "mean_std": _HALF}
    initialize = {"weights": initializer, "seed": 0}
    return _ready(_fresh(model, initialize, {"wrappers": "", "data": data}), device)


def _fresh(model, initialize, runtime):
    return {"type": "SingleNetwork", "model": model, "initialize": initialize, "runtime": runtime}


def _ready(section, device):
    network = _load_network(section, device or _default_device()).eval()
    data = network.runtime["data"]
    network.transform = _parse_transforms(data["transforms"], data["mean_std"])
    return network
