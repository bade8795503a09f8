"""Unpaired datasets, wrappers, picture output and learning rates of the generators' training."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from mdir import registry
from mdir.data.transforms.parse import parse_transforms
from mdir.inference.outputs.pixels import to_pixels
from mdir.networks.single import SingleNetwork
from tests.golden import golden

TOPIC = "generators"
CASES = golden.load_json(TOPIC, "data.json", {})
ARRAYS = golden.load_npz(TOPIC, "data.npz")
HALF = [[0.5] * 3, [0.5] * 3]


def write_domain(folder, letter):
    count = sum(key.startswith(f"domains_pair/{letter}") for key in ARRAYS)
    for index in range(count):
        image = Image.fromarray(ARRAYS[f"domains_pair/{letter}{index}"])
        image.save(folder / f"{letter}{index}.png")
    path = folder / f"{letter}.txt"
    path.write_text("".join(f"{letter}{index}.png\n" for index in range(count)))
    return str(path)


@pytest.mark.skipif("domains_pair" not in CASES, reason="no such case")
def test_domains_pair(tmp_path):
    case = CASES["domains_pair"]
    section = {"name": "RandomDomainsPair", "image_dir": str(tmp_path), "size": case["size"]}
    section |= {f"dataset_{x.upper()}": write_domain(tmp_path, x) for x in "xy"}
    dataset = registry.build("dataset", section, parse_transforms(case["transforms"], HALF), ())
    assert len(dataset) == case["len"]
    np.random.seed(case["numpy_seed"])
    for suffix in ("", "_epoch2"):
        dataset.prepare_epoch(None)
        for side in "XY":
            expected = ARRAYS[f"domains_pair/idxs_{side}{suffix}"]
            np.testing.assert_array_equal(getattr(dataset, f"idxs_{side}"), expected)
    random.seed(case["python_seed"])
    items = sorted({key.split("/")[1][:-2] for key in ARRAYS if "pair/item" in key})
    for index, name in enumerate(items):
        for side, image in zip("XY", dataset[index], strict=True):
            expected = ARRAYS[f"domains_pair/{name}_{side}"]
            np.testing.assert_allclose(image, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("wrappers/")])
def test_wrappers(name):
    model = registry.build("architecture", {"architecture": "identity"})
    params = {"model": {}, "runtime": {"wrappers": CASES[name]}}
    result = SingleNetwork(model, params)(torch.from_numpy(ARRAYS["wrappers/in"]))
    # Values up to 255 in float32: one unit in the last place is 1.5e-5.
    np.testing.assert_allclose(result, ARRAYS[name], rtol=1e-6, atol=1e-6)


def stretches():
    names = [key.removeprefix("rgb/") for key in ARRAYS if key.startswith("rgb/")]
    return [name for name in names if name != "in"]


@pytest.mark.parametrize("name", stretches())
def test_picture_output(name):
    stretch = 2.0 if name == "float" else name
    pixels = to_pixels(ARRAYS["rgb/in"], HALF, stretch)
    np.testing.assert_array_equal(pixels, ARRAYS[f"rgb/{name}"])


@pytest.mark.parametrize("key", [key for key in ARRAYS if key.startswith("lr_lambda_p2p/")])
def test_learning_rates(key):
    epochs, decay = map(int, key.rpartition("/")[2].split("_"))
    section = {"algorithm": "lambda_p2p", "n_epochs_decay": decay}
    factor = registry.build("scheduler", section, epochs)
    rates = [factor(epoch) for epoch in range(epochs)]
    np.testing.assert_allclose(rates, ARRAYS[key], rtol=0, atol=1e-6)
