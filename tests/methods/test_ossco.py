"""OSSCo: the phases of its rounds, restyling, and a stopped run that goes on."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image

from mdir.data.two_domains import TwoDomains
from mdir.errors import UserError
from mdir.methods.ossco import ContentAndStyles, OSSCo
from mdir.methods.style_gans import StyleGANs
from mdir.stages.train import train


@pytest.fixture
def domains(root):
    rng = np.random.default_rng(0)
    for domain in ("clear", "fog"):
        for split, count in (("train", 5), ("val", 3)):
            folder = root / "set" / split / domain
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return root / "set"


def section(split, **extra):
    return {
        "name": "TwoDomains",
        "image_dir": "set",
        "layout": "split/domain",
        "split": split,
    } | extra


def scenario(epochs):
    """Two rounds of two epochs for the translators and one of contrast; two iterations an epoch."""
    return {
        "network": {
            "type": "SingleNetwork",
            "model": {"architecture": "contrastive_encoder", "backbone": "resnet18"},
            "initialize": {"weights": "kaiming_p2p", "seed": 3},
            "runtime": {
                "wrappers": "",
                "data": {
                    "transforms": "ratio_crop:32 | random_mirror | pil2np | totensor | normalize",
                    "mean_std": [[0.5] * 3, [0.5] * 3],
                },
            },
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
                "epoch_iterations": 2,
                "seed": 1,
                "deterministic": True,
                "criterion": {"loss": "ossco", "temperature": 0.1},
                "optimizer": {
                    "algorithm": "adam", "lr": 1e-3, "beta1": 0.9, "beta2": 0.999,
                    "weight_decay": 1e-6,
                },
                "scheduler": None,
                "epoch_iteration": {
                    "type": "ossco", "data": "train", "criterion": "default",
                    "rounds": 2, "style_num": 2, "gan_iter": 4, "total_iter": 2, "interval": 2,
                    "blocks": 1, "filters": 4,
                },
            },
            "validation": {
                "type": "SingleValidation",
                "data": None,
                "criterion": {
                    "type": "cross_domain_recall", "naming": "ossco", "ranks": [1, 2],
                    "dataset": section("val"),
                },
                "network_overlay": None,
                "frequency": 1,
            },
        },
        "output": {"learning": {}},
        "data": {
            "train": {
                "dataset": section("train", views="original,original,original"),
                "loader": {"batch_size": 4, "drop_last": True, "num_workers": 1},
            }
        },
    }  # fmt: skip


def test_a_stopped_run_goes_on_as_if_never_stopped(domains, root, monkeypatch):
    whole = train(scenario(6))[0]
    (root / "run").rename(root / "whole")
    for epochs in (1, 4, 6):
        parts = train(copy.deepcopy(scenario(epochs)))[0]
    assert list(parts["metrics"]) == list(whole["metrics"])
    for name, values in whole["metrics"].items():
        assert np.array_equal(values, parts["metrics"][name], equal_nan=True), name
    states = [
        torch.load(root / run / "epochs" / "net_last.pth", weights_only=True)["model_state"]
        for run in ("whole", "run")
    ]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    # The encoder is validated when it has learned, twice in six epochs.
    assert len(whole["metrics"]["val/learning/score_avg:clear<->fog@1"]) == 2


def method(**params):
    return OSSCo(None, None, None, **params)


def test_phases_by_epoch():
    ossco = method(gan_iter=30, total_iter=20, interval=10)
    phases = [(p.round, p.translates, p.first_epoch) for p in map(ossco.phase, range(7))]
    assert phases == [
        (0, True, 0), (0, True, 0), (0, True, 0), (0, False, 3), (0, False, 3),
        (1, True, 5), (1, True, 5),
    ]  # fmt: skip
    assert [ossco.validates(epoch) for epoch in range(6)] == [False] * 3 + [True] * 2 + [False]


def test_styles_are_no_content(domains):
    dataset = TwoDomains(
        lambda image: torch.tensor(np.asarray(image)), image_dir="set", layout="split/domain"
    )
    stage = ContentAndStyles(dataset, [7, 2])
    assert len(stage) == 8 and stage.contents == [0, 1, 3, 4, 5, 6, 8, 9]
    content, styles = stage[2]
    assert torch.equal(content, dataset.view(3))
    assert [torch.equal(style, dataset.view(i)) for style, i in zip(styles, (7, 2), strict=True)]


def test_more_styles_than_images_are_refused(domains):
    dataset = TwoDomains(None, image_dir="set", layout="split/domain")
    with pytest.raises(UserError, match="10 styles asked of 10 images"):
        method(style_num=10).prepare_epoch(dataset, 0)


def test_restyling_a_batch_is_restyling_its_images():
    torch.manual_seed(0)
    gans = StyleGANs(2, 10, blocks=1, filters=4)
    images, choice = torch.randn(5, 3, 18, 21), torch.tensor([0, 1, 1, 0, 1])
    together = gans.translators().restyle(images, choice)
    alone = [gans.translators().restyle(images[i : i + 1], choice[i : i + 1]) for i in range(5)]
    assert together.shape == images.shape
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)
