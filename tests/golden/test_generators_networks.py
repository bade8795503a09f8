"""Networks of the generators against the published keys, outputs and initialisations."""

import numpy as np
import pytest
import torch

from mdir import registry
from mdir.registry import KINDS
from tests.golden import golden

TOPIC = "generators"
STATE_DICTS = golden.load_json(TOPIC, "state_dicts.json", {})
NETWORKS = golden.load_json(TOPIC, "networks.json", [])
INITIALIZERS = golden.load_json(TOPIC, "init.json", [])


def build(architecture, params):
    return registry.build("architecture", {KINDS["architecture"].key: architecture, **params})


def by_name(cases):
    return [pytest.param(case, id=case["name"]) for case in cases]


@pytest.mark.parametrize("name", STATE_DICTS)
def test_keys_shapes_and_types_are_the_published_ones(name):
    case = STATE_DICTS[name]
    with torch.device("meta"):
        network = build(case["architecture"], case["params"])
    state = network.state_dict()
    given = [[key, list(value.shape), str(value.dtype)] for key, value in state.items()]
    expected = [
        [key, list(shape), dtype if dtype.startswith("torch.") else f"torch.{dtype}"]
        for key, shape, dtype in case["state_dict"]
    ]
    assert given == expected
    parameters = dict(network.named_parameters())
    assert sum(value.numel() for value in parameters.values()) == case["n_parameters"]
    assert sorted(set(state) - set(parameters)) == sorted(case["buffers"])
    assert network.meta == case["meta"]


def input_of(case):
    x = golden.uniform(case["input_seed"], case["input_shape"]) * np.float32(case["input_scale"])
    return torch.from_numpy(x)


def tolerance(case):
    raw_rcf = case["architecture"] == "rcf" and case["forward"].get("no_sigmoid")
    return {"rtol": 1e-4, "atol": 1e-3 if raw_rcf else 1e-5}


@pytest.mark.parametrize("case", by_name(NETWORKS))
def test_forward_pass(case):
    expected = golden.load_npz(TOPIC, "networks.npz")
    network = golden.fill(build(case["architecture"], case["params"]))
    network.train(case["mode"] == "train")
    with torch.no_grad():
        result = network(input_of(case), **case["forward"])
    features = []
    if case["n_feats"]:
        result, features = (
            (None, result) if case["forward"].get("encode_only") else (result[0], result[1])
        )
    name = case["name"]
    if f"{name}/out" in expected:
        np.testing.assert_allclose(result, expected[f"{name}/out"], **tolerance(case))
    assert len(features) == case["n_feats"]
    for index, feature in enumerate(features):
        np.testing.assert_allclose(feature, expected[f"{name}/feat{index}"], **tolerance(case))
    if f"{name}/running" in expected:
        running = [v.flatten() for k, v in network.state_dict().items() if "running_" in k]
        np.testing.assert_allclose(
            torch.cat(running), expected[f"{name}/running"], **tolerance(case)
        )


@pytest.mark.parametrize("case", by_name(INITIALIZERS))
def test_initializer(case):
    expected = golden.load_npz(TOPIC, "init.npz")
    network = build(case["architecture"], case["params"])
    section = dict(case["initialize"])
    torch.manual_seed(section.pop("seed"))
    registry.build("initializer", section, network)
    parameters = dict(network.named_parameters())
    assert list(parameters) == case["keys"]
    head = np.zeros((len(parameters), 8), np.float32)
    stats = np.zeros((len(parameters), 5))
    for row, value in enumerate(parameters.values()):
        flat = value.detach().numpy().ravel()
        head[row, : min(8, flat.size)] = flat[:8]
        flat = flat.astype(np.float64)
        stats[row] = flat.mean(), flat.std(), flat.min(), flat.max(), flat.sum()
    np.testing.assert_allclose(head, expected[f"{case['name']}/head"], rtol=1e-5, atol=1e-6)
    reference = expected[f"{case['name']}/stats"]
    np.testing.assert_allclose(stats[:, :4], reference[:, :4], rtol=0, atol=1e-4)
    np.testing.assert_allclose(stats[:, 4], reference[:, 4], rtol=0, atol=1e-3)
