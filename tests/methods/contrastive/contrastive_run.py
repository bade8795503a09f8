"""A contrastive training small enough for tests: pictures of noise, a network of a few weights."""

import numpy as np
import torch.nn.functional as F
from PIL import Image
from torch import nn

from mdir.registry import register
from tests.sections import DATA, single

VIEWS = {"npid": 1, "proxyanchor": 1, "softtriple": 1, "daco": 4}
METHODS = ("simclr", "moco", "npid", "simsiam", "daco", "proxyanchor", "softtriple")
CRITERIA = {"moco": {"negs": 8}, "npid": {"negs": 4}, "softtriple": {"centers_per_class": 2}}
OPTIONS = {"moco": {"momentum": 0.9}}


@register("architecture", "tiny_contrastive_encoder")
class TinyEncoder(nn.Module):
    """As ``contrastive_encoder``, with one convolution."""

    def __init__(self, *, width: int = 6):
        super().__init__()
        self.f = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
        )
        self.g = nn.Sequential(nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width))
        self.meta = {"in_channels": 3, "out_channels": width}

    def forward(self, images):
        features = self.f(images).flatten(1)
        return F.normalize(features.float(), dim=1), F.normalize(self.g(features).float(), dim=1)


def write_domains(root, pairs=6, size=16):
    """``set/{original,generated}/{day,night}/{train,val}`` with pictures of noise."""
    rng = np.random.default_rng(0)
    for kind in ("original", "generated"):
        for domain in ("day", "night"):
            for split in ("train", "val"):
                folder = root / "set" / kind / domain / split
                folder.mkdir(parents=True)
                for number in range(pairs):
                    pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(folder / f"{domain}_{number:03d}.png")


def dataset(split, **extra):
    return {
        "name": "TwoDomains", "image_dir": "set/original", "domains": ["day", "night"],
        "split": split,
    } | extra  # fmt: skip


def params(method, epochs=1, directory="run", **runtime):
    """Parameters of a train step; an epoch is three batches of four."""
    count = VIEWS.get(method, 2)
    views = ["original"] * min(count, 2) + ["translation"] * (count - 2)
    return {
        "network": single(
            {"architecture": "tiny_contrastive_encoder"},
            {"weights": "kaiming_p2p", "seed": 3},
            wrappers="",
            data={**DATA, "transforms": "random_mirror | pil2np | totensor | normalize"},
        ),
        "learning": {
            "type": "TrainValLearning",
            "checkpoints": {
                "directory": directory, "store_every": 0, "checkpoint_every": 1,
                "directory_epoch_regex": None,
            },
            "training": {
                "type": "EpochTraining",
                "epochs": epochs,
                "epoch_iterations": 3,
                "seed": 1,
                "deterministic": True,
                "runtime": runtime,
                "criterion": {"loss": method, **CRITERIA.get(method, {})},
                "optimizer": {
                    "algorithm": "adam", "lr": 1e-2, "beta1": 0.9, "beta2": 0.999,
                    "weight_decay": 1e-6,
                },
                "scheduler": None,
                "epoch_iteration": {
                    "type": method, "data": "train", "criterion": "default",
                    **OPTIONS.get(method, {}),
                },
            },
            "validation": {
                "type": "SingleValidation",
                "data": None,
                "criterion": {
                    "type": "cross_domain_recall", "ranks": [1], "dataset": dataset("val"),
                },
                "network_overlay": None,
                "frequency": 1,
            },
        },
        "output": {"learning": {}},
        "data": {
            "train": {
                "dataset": dataset(
                    "train", views=",".join(views), translation_dir="set/generated"
                ),
                "loader": {"batch_size": 4, "drop_last": True, "num_workers": 0},
            }
        },
    }  # fmt: skip
