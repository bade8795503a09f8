"""CycleGAN trained the way of the published scenarios: a set of networks, pictures to look at."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from cirtorch.utils.weight_files import load_weights
from mdir.learning.train_val import TrainValLearning
from mdir.registry import check_parameters
from mdir.stages.train import train
from tests.learning.tiny_run import network, write_data

GENERATORS, DISCRIMINATORS = ("generator_X", "generator_Y"), ("discriminator_X", "discriminator_Y")
MEAN_STD = [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]


def discriminator(seed):
    model = {
        "architecture": "official_p2p_discriminator",
        "no_antialias": True,
        "input_nc": 3,
        "norm_layer": "instance",
        "ndf": 2,
    }
    return {**network(seed), "model": model, "runtime": {"wrappers": "", "data": {}}}


def params(directory="run"):
    adam = {"algorithm": "adam", "lr": 0.002, "beta1": 0.5, "beta2": 0.999, "weight_decay": 0}
    decay = {"algorithm": "lambda_p2p", "n_epochs_decay": 1}
    names = GENERATORS + DISCRIMINATORS
    head = {
        "loss": "multihead_loss",
        "weights": {"adversarial": 1, "cycle": 10},
        "normalize_weights": False,
        "adversarial": {"loss": "mse"},
        "cycle": {"loss": "l1"},
    }
    judge = {"loss": "discriminator_loss", "criterion": {"loss": "mse"}}
    visual = {
        "type": "SingleValidation",
        "frequency": 2,
        "network_overlay": None,
        "data": None,
        "criterion": {
            "type": "visual",
            "data": {
                "dataset": {"name": "InferImageList", "image_dir": "looked_at"},
                "transforms": "pil2np | downscale:24 | totensor | normalize",
                "mean_std": MEAN_STD,
            },
        },
    }
    return {
        "network": {
            "type": "NetworkSet",
            **{name: network(seed) for seed, name in enumerate(GENERATORS)},
            **{name: discriminator(seed) for seed, name in enumerate(DISCRIMINATORS)},
        },
        "learning": {
            "type": "TrainValLearning",
            "checkpoints": {
                "directory": directory,
                "store_every": 10,
                "checkpoint_every": 1,
                "directory_epoch_regex": None,
            },
            "training": {
                "type": "EpochTraining",
                "epochs": 2,
                "seed": 0,
                "deterministic": False,
                "criterion": {
                    "loss": "cycle_loss",
                    "loss_G_X": head,
                    "loss_G_Y": head,
                    "loss_D_X": judge,
                    "loss_D_Y": judge,
                },
                "optimizer": {
                    "composition": {
                        "type": "alternation",
                        "order": ",".join(names),
                        "alternate_iteration": 1,
                    },
                    **dict.fromkeys(names, adam),
                },
                "scheduler": {"composition": {"type": "set"}, **dict.fromkeys(names, decay)},
                "epoch_iteration": {
                    "type": "SupervisedCycleGanEpoch",
                    "data": "train",
                    "criterion": "default",
                    "pool_size": 3,
                },
            },
            "validation": {
                "type": "MultiCriterialValidation",
                "decisive_criterion": "epoch",
                "visual": visual,
            },
        },
        "output": {"learning": {"progress": {"print_each": 2}}},
        "data": {
            "train": {
                "dataset": {
                    "name": "RandomDomainsPair",
                    "dataset_X": "day.txt",
                    "dataset_Y": "night.txt",
                    "image_dir": "imgs/*.png",
                    "size": 4,
                },
                "loader": {"batch_size": 1, "num_workers": 2},
                "transforms": "pil2np | scalecrop:24_24:0.8_1 | totensor | normalize",
                "mean_std": MEAN_STD,
            }
        },
    }


@pytest.fixture
def data(root):
    write_data(root)
    (root / "day.txt").write_text("0\n1\n2\n3\n")
    (root / "night.txt").write_text("4\n5\n6\n7\n")
    (root / "looked_at").mkdir()
    Image.fromarray(np.full((40, 30, 3), 99, np.uint8)).save(root / "looked_at" / "one.jpg")
    return root


def test_a_set_is_trained_shown_and_resumed(data, monkeypatch):
    assert not list(check_parameters(train.function, params()))
    whole = train(params("whole"))[0]
    assert whole["best_epoch"] == {"index": 1, "metric_avg.3": 1.0, "key": "epoch"}
    folder = data / "whole" / "epochs"
    for name in ("net", *GENERATORS, *DISCRIMINATORS):
        assert (folder / f"{name}_best.pth").readlink().name == f"{name}_epoch_02.pth"
    state = load_weights(folder / "learning_epoch_02.pth")["training"]["optimizer_state"]
    assert state["alternation"] == {"iteration": 0, "optimizer": 0}
    rows = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    shown = [row for row in rows if row["key"].startswith("visual/learning/data/")]
    assert [(row["epoch"], row["relative_iteration"]) for row in shown] == [(1, [-2])] * 2
    assert shown[0]["key"] == shown[1]["key"] + "/input"
    for row in shown:
        (blob,) = row["data"]["image0.rgb"]
        with Image.open(folder / blob["path"]) as image:
            assert image.size == (18, 24)

    save = TrainValLearning.save

    def stop_after_first(run, epoch, best):
        save(run, epoch, best)
        if epoch == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainValLearning, "save", stop_after_first)
    with pytest.raises(KeyboardInterrupt):
        train(params())
    monkeypatch.undo()
    monkeypatch.setenv("CIRTORCH_ROOT", str(data))
    assert train(params())[0]["metrics"] == whole["metrics"]
    for name in GENERATORS + DISCRIMINATORS:
        ours = load_weights(data / "run" / "epochs" / f"{name}_last.pth")["model_state"]
        theirs = load_weights(folder / f"{name}_last.pth")["model_state"]
        assert all(torch.equal(ours[key], value) for key, value in theirs.items())


def test_missing_networks_and_lists_are_told_first(data):
    given = params()
    del given["network"]["discriminator_X"]
    messages = [problem.message for problem in check_parameters(train.function, given)]
    assert any("needs a network named 'discriminator_X'" in message for message in messages)
    (data / "night.txt").unlink()
    with pytest.raises(ValueError, match=r"night\.txt: there is no such list"):
        train(params())
    assert not (data / "run").exists() or not list((data / "run" / "epochs").iterdir())
