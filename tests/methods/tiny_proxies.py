"""Pictures of a few plain-coloured classes, a network with proxies, and trainings of it."""

import numpy as np
import torch
from PIL import Image
from torch import nn

from mdir.networks.architectures.parts.unit_rows import unit_rows
from mdir.registry import register
from tests.methods.tiny_reid import train_params as reid_params

CLASSES = ("ant", "bee", "cat", "dog", "eel", "fox")  # the first half are those of the training
PICTURES = 5
DATA = {"transforms": "totensor | normalize", "mean_std": [[0.5] * 3, [0.25] * 3]}


@register("architecture", "TinyProxiesOfTests")
class TinyProxies(nn.Module):
    """A few hundred weights in the form of a proxy_embedding."""

    def __init__(self, *, classes: int = 3):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 16, 4, stride=4), nn.BatchNorm2d(16), nn.ReLU())
        self.refactor = nn.Linear(16, 8, bias=False)
        self.fc = nn.Linear(8, classes, bias=False)
        self.meta = {"in_channels": 3, "out_channels": 8}

    @property
    def proxies(self):
        return unit_rows(self.fc.weight)

    def cosines(self, descriptors):
        return unit_rows(descriptors.T) @ self.proxies.T

    def freeze_backbone(self, frozen=True):
        self.backbone.requires_grad_(not frozen)

    def parameter_groups(self, options):
        parts = ("backbone", "refactor", "fc")
        return [{"name": part, "params": list(getattr(self, part).parameters())} for part in parts]

    def train(self, mode=True):
        super().train(mode)
        self.backbone[1].eval()
        return self

    def forward(self, images):
        return unit_rows(self.refactor(self.backbone(images).amax((2, 3)))).T


def write_classes(root, names=CLASSES, pictures=PICTURES, noise=60):
    """``root/classes/NAME/N.png``: each class is of a colour, with much noise."""
    draw = np.random.default_rng(0)
    for name in names:
        colour = draw.integers(60, 196, 3)
        for number in range(pictures):
            pixels = colour + draw.integers(-noise, noise + 1, (16, 16, 3))
            path = root / "classes" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


def dataset(split="train"):
    return {"name": "fine_grained", "set": "folder", "image_dir": "classes", "split": split}


def train_params(epochs=4, loss="balanced_proxy", ranks=(1, 2), batch_size=4, **own):
    """Parameters of a train step: three classes of five pictures, in four batches."""
    params = reid_params("spcl", ["unused"], epochs)
    params["network"]["model"] = {"architecture": "TinyProxiesOfTests"}
    params["network"]["runtime"]["data"] = dict(DATA)
    loader = {"batch_size": batch_size, "num_workers": 0}
    shown = {**DATA, "transforms": "mirror | totensor | normalize"}
    params["data"] = {"train": {"dataset": dataset(), **shown, "loader": loader}}
    training = params["learning"]["training"]
    training["epoch_iteration"] = {"type": "proxy", "data": "train", "criterion": "default", **own}
    training["epoch_iterations"] = None
    training["criterion"] = {"loss": loss}
    training["optimizer"] = {"algorithm": "adamp", "lr": 1e-2, "groups": {"fc": {"lr": 1e-1}}}
    training["scheduler"] = {"algorithm": "step", "step_size": 2, "gamma": 0.5}
    params["learning"]["validation"] = {
        "type": "SingleValidation",
        "data": None,
        "criterion": {"type": "class_recall", "dataset": dataset("test"), "ranks": list(ranks)},
        "network_overlay": None,
        "frequency": 1,
    }
    return params


def images(count, seed=0):
    """Noise ``[count, 3, 16, 16]``."""
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
