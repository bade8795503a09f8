"""Golden parity of SpCL's networks and hybrid memory."""

import re

import numpy as np
import pytest
import torch

from mdir.losses.hybrid_memory import HybridMemoryLoss
from mdir.networks.architectures.parts.domain_norm import (
    choose_statistics,
    convert_bn,
)
from mdir.networks.architectures.reid_resnet import BACKBONES
from mdir.registry import build
from tests.golden.golden import array_cases, files, fill, load_npz, needs

TOPIC = "reid"
SCALES = {2: 2.5}  # of the loss by step, as the manifest has them
NETWORKS = array_cases(TOPIC, "network_*.npz", "dsbn_eval")


def network(case, **params):
    """Filled weights; ``ibn50a`` is ``resnet_ibn50a``."""
    backbone = case if case in BACKBONES else f"resnet_{case}"
    section = {"architecture": "reid_resnet", "backbone": backbone, "pretrained": False}
    return fill(build("architecture", section | params))


def close(found, expected, relative, absolute=0.0):
    """No entry is off by more than a share of the largest, or by an absolute bound."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    bound = max(relative * np.abs(expected).max(), absolute)
    assert np.abs(found - expected).max() <= bound


def evaluated(model, images, expected):
    """Images as many as there are expected rows."""
    with torch.no_grad():
        rows = model.eval()(images[: len(expected)]).T
    close(rows, expected, 0, 1e-4)


def test_cases_are_there():
    for name in ("network_resnet50.npz", "network_ibn50a.npz", "memory.npz"):
        needs(TOPIC, name)
    assert NETWORKS


@pytest.mark.parametrize("name, case", NETWORKS)
def test_network(name, case):
    arrays = load_npz(TOPIC, name)
    images = torch.tensor(arrays["x"])
    evaluated(network(case), images, arrays[f"{case}_eval"])
    model = network(case, domains=2)
    evaluated(model, images, arrays[f"{case}_dsbn_eval"])
    rows = model.train()(images).T
    close(rows.detach(), arrays[f"{case}_dsbn_train"], 0, 1e-3)
    noise = np.random.RandomState(7).standard_normal(tuple(rows.shape)).astype(np.float32)
    (rows * torch.from_numpy(noise)).sum().backward()
    gradients = {key: value.grad for key, value in model.named_parameters()}
    statistics = {
        key.replace(".", "").replace("_", ""): value
        for key, value in model.state_dict().items()
        if "running" in key
    }
    for key, expected in arrays.items():
        if key.startswith("grad__"):
            parameter, _, summary = key[len("grad__") :].rpartition("__")
            gradient = gradients[parameter.replace("__", ".")]
            found = gradient.abs().mean() if summary == "absmean" else gradient.sum()
            close(found, expected, 0.01)
        elif match := re.fullmatch(r"stat_(.+)_(BN_[ST])_(mean|var)", key):
            layer = match[1].replace("feat", "featbn")
            found = statistics[f"{layer}{match[2].replace('_', '')}running{match[3]}"]
            close(found, expected, 0, 1e-3)
    if f"{case}_source_after_train_eval" in arrays:
        expected = arrays[f"{case}_source_after_train_eval"]
        choose_statistics(model, "source")
        evaluated(model, images, expected)
        converted = convert_bn(model, "source")
        assert set(converted.state_dict()) == set(network(case).state_dict())
        evaluated(converted, images, expected)


@pytest.mark.parametrize("name, case", array_cases(TOPIC, "network_*.npz", "embed_eval"))
def test_head(name, case):
    arrays = load_npz(TOPIC, name)
    images, features = torch.tensor(arrays["x"]), int(arrays["embed_dim"])
    evaluated(network(case, features=features), images, arrays[f"{case}_embed_eval"])
    for ending, params in (
        ("embed_norm_train", {"norm": True}),
        ("embed_relu_cls_train", {"norm": False}),
    ):
        expected = arrays[f"{case}_{ending}"]
        if "cls" in ending:
            params["num_classes"] = expected.shape[1]
        with torch.no_grad():
            rows = network(case, features=features, **params).train()(images).T
        close(rows, expected, 0, 1e-3)


@pytest.mark.parametrize(
    "name", [name for name in files(TOPIC, "memory*.npz") if "cfg" in load_npz(TOPIC, name)]
)
def test_memory(name):
    arrays = load_npz(TOPIC, name)
    temperature, momentum = map(float, arrays["cfg"])
    memory = HybridMemoryLoss(temperature=temperature, momentum=momentum)
    memory.start(*(torch.tensor(arrays[key]) for key in ("features0", "labels")))
    for step in range(sum(key.endswith("_idx") for key in arrays)):
        expected = {
            key: arrays[f"s{step}_{key}"] for key in ("x", "idx", "loss", "grad", "features_after")
        }
        x, places = torch.tensor(expected["x"]).requires_grad_(), torch.tensor(expected["idx"])
        loss = memory(x, places)
        (SCALES.get(step, 1.0) * loss).backward()
        memory.enqueue(x, places)
        close(loss.detach(), expected["loss"], 0, 1e-4)
        close(x.grad, expected["grad"], 1e-3)
        close(memory.features, expected["features_after"], 0, 1e-5)


@pytest.mark.parametrize("gradients", ["forward", "published"])
@pytest.mark.parametrize("name", files(TOPIC, "memory_two_calls*.npz"))
def test_memory_of_two_calls(name, gradients):
    arrays = load_npz(TOPIC, name)
    memory = HybridMemoryLoss(gradients=gradients)
    memory.start(*(torch.tensor(arrays[key]) for key in ("features0", "labels")))
    source, target = (torch.tensor(arrays[key]).requires_grad_() for key in ("xs", "xt"))
    classes = int(arrays["source_classes"])
    places = torch.tensor(arrays["ys"]), torch.tensor(arrays["yt"]) + classes
    loss_s, loss_t = memory(source, places[0]), memory(target, places[1])
    (loss_s + loss_t).backward()
    for x, rows in zip((source, target), places, strict=True):
        memory.enqueue(x, rows)
    close(loss_s.detach(), arrays["loss_s"], 0, 1e-4)
    close(loss_t.detach(), arrays["loss_t"], 0, 1e-4)
    ending = "" if gradients == "forward" else "_upstream"
    close(source.grad, arrays[f"grad_s{ending}"], 1e-3)
    close(target.grad, arrays["grad_t"], 1e-3)
    close(memory.features, arrays["features_after"], 0, 1e-5)
