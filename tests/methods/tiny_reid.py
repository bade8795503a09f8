"""Pictures of a few plain-coloured persons in the layout of Market-1501, and trainings on them."""

from itertools import product

import numpy as np
from PIL import Image
from torch import nn

from mdir.networks.architectures.parts.domain_norm import convert_dsbn
from mdir.networks.architectures.parts.unit_rows import unit_rows
from mdir.registry import register

FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
SIZE = (16, 32)


@register("architecture", "TinyReidOfTests")
class TinyReid(nn.Module):
    """A few hundred weights in the form of a reid_resnet."""

    def __init__(self, *, domains: int = 1):
        super().__init__()
        self.domains = domains
        self.base = nn.Conv2d(3, 16, 4, stride=4, bias=False)
        self.feat_bn = nn.BatchNorm1d(16)
        if domains == 2:
            convert_dsbn(self)
        self.meta = {"in_channels": 3, "out_channels": 16}

    def forward(self, images):
        return unit_rows(self.feat_bn(self.base(images).relu().mean((2, 3)))).T


def write_market(root, persons=6, pictures=6, test=True):
    """``root/Market-1501-v15.09.15``: each person is of a colour, seen by two cameras in turn."""
    draw = np.random.default_rng(persons)
    colours = draw.permutation(list(product((40, 128, 215), repeat=3)))
    for person in range(2 * persons if test else persons):
        for number in range(pictures):
            split = FOLDERS[0 if person < persons else 1 if number == 0 else 2]
            folder = root / "Market-1501-v15.09.15" / split
            folder.mkdir(parents=True, exist_ok=True)
            pixels = colours[person] + draw.integers(-12, 13, (SIZE[1], SIZE[0], 3))
            name = f"{person + 1:04d}_c{number % 2 + 1}s1_{number:06d}_00.jpg"
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name, quality=95)


def data_section(root, split="train", **loader):
    """Pictures as a training sees them, given a loader; else as evaluations do."""
    shown = "totensor | normalize"
    if loader:
        shown = f"mirror | pad:2 | random_crop:{SIZE[0]}_{SIZE[1]} | {shown} | random_erasing"
    return {
        "dataset": {"name": "reid", "set": "market1501", "image_dir": str(root), "split": split},
        "transforms": f"resize_to:{SIZE[0]}_{SIZE[1]} | {shown}",
        "mean_std": [[0.5] * 3, [0.25] * 3],
        "loader": loader or {"batch_size": 8, "num_workers": 0},
    }


def train_params(method, roots, epochs=3, iterations=2, **own):
    """Parameters of a train step; ``roots`` are of the data sets, a source's first."""
    training = {"batch_size": 8, "num_workers": 0, "drop_last": True}
    sampler = {"name": "identities", "instances": 4}
    names = ["source", "target"][-len(roots) :]
    data = {}
    for name, root in zip(names, roots, strict=True):
        data[name] = data_section(root, **training, sampler=sampler)
        data[f"{name}_images"] = data_section(root)
    iteration = {
        "type": method,
        "data": names if len(names) > 1 else names[0],
        "criterion": "default",
        "images": "target_images",
        "k1": 8,
        "k2": 3,
        **own,
    }
    if len(names) > 1:
        iteration["source_images"] = "source_images"
    criterion = {"spcl": "hybrid_memory", "cluster_contrast": "cluster_memory"}[method]
    evaluation = {"transforms": data_section(roots[-1])["transforms"]}
    evaluation["mean_std"] = data_section(roots[-1])["mean_std"]
    return {
        "network": {
            "type": "SingleNetwork",
            "model": {"architecture": "TinyReidOfTests", "domains": len(names)},
            "initialize": False,
            "runtime": {"wrappers": "", "data": evaluation},
        },
        "learning": {
            "type": "TrainValLearning",
            "checkpoints": {
                "directory": "run",
                "store_every": 0,
                "checkpoint_every": 1,
                "directory_epoch_regex": None,
            },
            "training": {
                "type": "EpochTraining",
                "epochs": epochs,
                "epoch_iterations": iterations,
                "seed": 1,
                "deterministic": True,
                "criterion": {"loss": criterion},
                "optimizer": {
                    "algorithm": "adam",
                    "lr": 3.5e-4,
                    "beta1": 0.9,
                    "beta2": 0.999,
                    "weight_decay": 5e-4,
                },
                "scheduler": {"algorithm": "step", "step_size": 2, "gamma": 0.1},
                "epoch_iteration": iteration,
            },
            "validation": False,
        },
        "output": {"learning": {"progress": 1}},
        "data": data,
    }
