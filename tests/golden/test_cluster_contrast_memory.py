"""Golden parity of Cluster Contrast's networks and cluster memory."""

import pytest
import torch

import cirtorch.layers.functional as LF
from cirtorch.layers.pooling import MAC, GeM, SPoC
from mdir.losses.cluster_memory import ClusterMemoryLoss
from mdir.networks.architectures.reid_resnet import BACKBONES
from tests.golden.golden import array_cases, files, load_npz, needs
from tests.golden.test_reid_networks import close, evaluated, network

TOPIC = "cluster_contrast"


def cases(pattern):
    return [
        pytest.param(name, str(case), id=f"{name}-{case}")
        for name in files(TOPIC, pattern)
        for case in load_npz(TOPIC, name)["cases"]
    ]


def make_memory(arrays):
    temperature, momentum, hard = map(float, arrays["cfg"][:3])
    memory = ClusterMemoryLoss(
        temperature=temperature, momentum=momentum, update="hard" if hard else "plain"
    )
    memory.start(torch.tensor(arrays["features0"]))
    return memory


def test_cases_are_there():
    for name in ("memory.npz", "memory_hard.npz", "gem.npz", "network_gem.npz"):
        needs(TOPIC, name)


@pytest.mark.parametrize("name", files(TOPIC, "memory*.npz"))
def test_memory(name):
    arrays = load_npz(TOPIC, name)
    memory = make_memory(arrays)
    for step in range(int(arrays["num_steps"])):
        expected = {
            key: arrays[f"s{step}_{key}"]
            for key in ("x", "y", "scale", "logits", "loss", "grad", "features_after")
        }
        x, labels = torch.tensor(expected["x"]).requires_grad_(), torch.tensor(expected["y"])
        close(memory.logits(x).detach(), expected["logits"], 0, 1e-4)
        loss = memory(x, labels)
        (float(expected["scale"]) * loss).backward()
        memory.enqueue(x, labels)
        close(loss.detach(), expected["loss"], 0, 1e-4)
        close(x.grad, expected["grad"], 1e-3)
        close(memory.features, expected["features_after"], 0, 1e-5)


@pytest.mark.parametrize("name, case", cases("gem*.npz"))
def test_pooling(name, case):
    arrays = load_npz(TOPIC, name)
    p, eps = map(float, arrays[f"cfg_{case}"])
    x = torch.tensor(arrays[f"x_{case}"]).requires_grad_()
    gem = GeM(p, eps)
    pooled = gem(x).flatten(1)
    (pooled * torch.tensor(arrays[f"r_{case}"])).sum().backward()
    close(pooled.detach(), arrays[f"out_{case}"], 0, 1e-4)
    close(LF.gem(x.detach(), p, eps).flatten(1), arrays[f"out_fixed_{case}"], 0, 1e-4)
    close(x.grad, arrays[f"grad_x_{case}"], 1e-3)
    close(gem.p.grad, arrays[f"grad_p_{case}"], 1e-3)
    for layer, key in ((SPoC(), "avg"), (MAC(), "max")):
        close(layer(x).detach().flatten(1), arrays[f"{key}_{case}"], 0, 1e-4)


@pytest.mark.parametrize("name, case", array_cases(TOPIC, "network_*.npz", "gem_eval"))
def test_network(name, case):
    arrays = load_npz(TOPIC, name)
    images = torch.tensor(arrays["x"])
    model = network(case, pooling="gem")
    assert case in BACKBONES
    keys = [key for key in model.state_dict() if not key.startswith("base.")]
    assert keys == arrays[f"{case}_keys_outside_base"].tolist()
    learning = [key for key, value in model.named_parameters() if value.requires_grad]
    learning = [key for key in learning if not key.startswith("base.")]
    assert learning == arrays[f"{case}_trainable_outside_base"].tolist()
    evaluated(model, images, arrays[f"{case}_gem_eval"])
    rows = model.train()(images).T
    (rows * torch.tensor(arrays[f"{case}_r"])).sum().backward()
    close(rows.detach(), arrays[f"{case}_gem_train"], 0, 1e-3)
    close(model.gap.p.grad, arrays[f"{case}_grad_p"], 0.02)


@pytest.mark.parametrize("name, case", array_cases(TOPIC, "network_*.npz", "gem_embed_eval"))
def test_embedding(name, case):
    arrays = load_npz(TOPIC, name)
    model = network(case, pooling="gem", features=int(arrays["embed_dim"]))
    evaluated(model, torch.tensor(arrays["x"]), arrays[f"{case}_gem_embed_eval"])


@pytest.mark.parametrize("name, case", array_cases(TOPIC, "network_*.npz", "max_eval"))
def test_max_pooling(name, case):
    arrays = load_npz(TOPIC, name)
    model = network(case, pooling="max")
    evaluated(model, torch.tensor(arrays["x"]), arrays[f"{case}_max_eval"])
