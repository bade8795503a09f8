"""Each method against the published training runs, step by step."""

import numpy as np
import pytest
import torch

from tests.golden import golden
from tests.golden.generators_training import (
    TOPIC,
    batch_of,
    checksums,
    make_method,
    record_places,
)

CASES = golden.load_json(TOPIC, "trajectories.json", {})
DETECTORS = ("hed_interpolation", "rcf")


def translated(case):
    """A case whose criterion means here what it means in the published code.

    There PatchNCE's own weight w counts twice, once in the identity term; ``weights.nce`` does not.
    """
    criterion = case["criterion"]
    if "nce" not in criterion or criterion["normalize_weights"]:
        return case
    own, weights = criterion["nce"]["weight"] or 1, criterion["weights"]
    weights = {**weights, "nce": 1, "identity": weights["identity"] / own}
    nce = {**criterion["nce"], "weight": own * criterion["nce"]["weight"]}
    return {**case, "criterion": {**criterion, "weights": weights, "nce": nce}}


def run(name, dtype, watch=lambda method: None):
    """Losses (steps, names), checksums (steps + 1, networks, 6) and the method of a case."""
    case = translated(CASES[name])
    params = {"pool_size": case["pool_size"]} if "pool_size" in case else {}
    method = make_method(case, case["type"], case, dtype, **params)
    watch(method)
    checks, losses = [checksums(method.network, case["network_order"], 6)], []
    for step in range(case["steps"]):
        named = method.step(batch_of(case, step, dtype))
        assert list(named) == case["loss_names"]
        losses.append([float(value) for value in named.values()])
        checks.append(checksums(method.network, case["network_order"], 6))
    return np.array(losses), np.array(checks), method


def has_detector(case):
    return any(item["architecture"] in DETECTORS for item in case["networks"].values())


@pytest.mark.parametrize("name", CASES)
def test_double_precision(name):
    expected = golden.needed_npz(TOPIC, f"traj_{name}.npz")
    losses, checks, method = run(name, torch.float64)
    rtol = 1e-5 if has_detector(CASES[name]) else 1e-6
    np.testing.assert_allclose(losses, expected["f64/losses"], rtol=rtol, atol=1e-12)
    np.testing.assert_allclose(checks, expected["f64/checks"], rtol=1e-7, atol=1e-5)
    images = {key[len("f64/last_") :] for key in expected if key.startswith("f64/last_")}
    samples = method.samples()
    assert set(samples) == images
    for image in images:
        np.testing.assert_allclose(samples[image], expected[f"f64/last_{image}"], atol=1e-5)


def patch_ids(arrays):
    """The stored places as one (2 * steps, P) array per layer."""
    if "patch_ids" in arrays:
        layers = arrays["patch_ids"].shape[2]
        return [
            arrays["patch_ids"][:, :, i].reshape(-1, arrays["patch_ids"].shape[3])
            for i in range(layers)
        ]
    count = sum(key.startswith("patch_ids_layer") for key in arrays)
    return [arrays[f"patch_ids_layer{i}"] for i in range(count)]


@pytest.mark.parametrize("name", [n for n in CASES if "featdown" in CASES[n]["networks"]])
def test_places_of_patches(name):
    expected = patch_ids(golden.needed_npz(TOPIC, f"traj_{name}.npz"))
    drawn = []
    run(name, torch.float64, lambda method: record_places(method, drawn))
    for layer, places in enumerate(expected):
        np.testing.assert_array_equal([ids[layer] for ids in drawn], places)


@pytest.mark.parametrize("name", CASES)
def test_single_precision(name):
    expected = golden.needed_npz(TOPIC, f"traj_{name}.npz")
    losses, checks, _ = run(name, torch.float32)
    np.testing.assert_allclose(losses, expected["f32/losses"], rtol=2e-3, atol=1e-6)
    # Biases before a norm have no true gradient and drift with rounding noise under Adam.
    np.testing.assert_allclose(checks[..., 2:], expected["f32/checks"][..., 2:], atol=2e-2, rtol=0)
