"""A training small enough for tests: pictures of noise, a generator of a few thousand weights."""

import pickle
from pathlib import Path

import numpy as np
from PIL import Image

from tests.sections import DATA, generator

CROPS = {**DATA, "transforms": "pil2np | scalecrop:24_24:0.8_1 | totensor | normalize"}


def write_data(root: Path, pictures: int = 8) -> None:
    """Pictures ``imgs/N.png`` and their pairs ``pairs.pkl`` (columns train and val)."""
    (root / "imgs").mkdir()
    generator = np.random.RandomState(0)
    for number in range(pictures):
        pixels = generator.randint(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"imgs/{number}.png")
    names = [str(number) for number in range(pictures)]
    pairs = {"train": [names[i : i + 2] for i in range(pictures - 2)], "val": [names[-2:]]}
    (root / "pairs.pkl").write_bytes(pickle.dumps(pairs))


def network(seed: int, **runtime) -> dict:
    """The section of one tiny generator."""
    return generator(seed, **{"data": dict(CROPS), **runtime})


def data_section(column: str, workers: int) -> dict:
    """A data section over :func:`write_data`'s pictures."""
    names = {"dataset": "pairs.pkl", "data_key": column, "image_dir": "imgs/*.png", "idx": "0_1"}
    loader = {"batch_size": 2, "num_workers": workers}
    return {"dataset": {"name": "PregeneratedImageTuple", **names}, "loader": loader}


def train_params(directory: str = "run", epochs: int = 2, workers: int = 0) -> dict:
    """Parameters of a train step: a frozen generator before a trained one, L1 loss, Adam."""
    return {
        "network": {
            "type": "SequentialNetwork",
            "sequence": "first,last",
            "first": network(1, frozen=True),
            "last": network(2),
        },
        "learning": {
            "type": "TrainValLearning",
            "checkpoints": {
                "directory": directory,
                "store_every": 3,
                "checkpoint_every": 2,
                "directory_epoch_regex": None,
            },
            "training": {
                "type": "EpochTraining",
                "epochs": epochs,
                "seed": 3,
                "deterministic": True,
                "criterion": {"loss": "l1"},
                "optimizer": {
                    "algorithm": "adam",
                    "lr": 0.001,
                    "beta1": 0.5,
                    "beta2": 0.999,
                    "weight_decay": 0,
                },
                "scheduler": {"algorithm": "gamma", "gamma": 0.9},
                "epoch_iteration": {
                    "type": "SupervisedEpoch",
                    "data": "train",
                    "criterion": "default",
                    "batch_average": True,
                    "fakebatch": False,
                },
            },
            "validation": {
                "type": "SingleValidation",
                "data": "val",
                "criterion": "default",
                "network_overlay": None,
                "frequency": 1,
            },
        },
        "output": {"learning": {"progress": 0}},
        "data": {"train": data_section("train", workers), "val": data_section("val", workers)},
    }
