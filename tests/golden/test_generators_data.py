"""Golden vectors of the image translation data: crops, shrinking, tuples of names."""

import os
import pickle
import random

import numpy as np
import pytest
from PIL import Image

from mdir import registry
from mdir.data.transforms.parse import parse_transforms
from tests.golden.golden import load_json, load_npz

CASES = load_json("generators", "data.json", {})
HALF = ([0.5] * 3, [0.5] * 3)
TOLERANCE = 1e-6
LEVEL = 2 / 255 + 1e-6  # image library versions may differ by one level


def inputs_of(name, arrays):
    """``NAME/in0, NAME/in1, ...`` or the single ``NAME/in``, as PIL images."""
    keys = [key for key in arrays if key.startswith(f"{name}/in")]
    return [Image.fromarray(arrays[key]) for key in sorted(keys)]


def outputs_of(name, arrays):
    return [arrays[key] for key in sorted(arrays) if key.startswith(f"{name}/out")]


def apply(name, text, seed=None):
    arrays = load_npz("generators", "data.npz")
    random.seed(seed)
    result = parse_transforms(text, HALF)(*inputs_of(name, arrays))
    return (result if isinstance(result, tuple) else (result,)), outputs_of(name, arrays)


def of_kind(kind):
    return [name for name in CASES if name.split("/")[0] == kind]


@pytest.mark.parametrize("name", of_kind("scalecrop") + of_kind("centerscalecrop"))
def test_crops(name):
    case = CASES[name]
    text = f"pil2np | {name.split('/')[0]}:{case['spec']} | totensor | normalize"
    if case.get("raises"):
        with pytest.raises(ValueError):
            apply(name, text, case.get("python_seed"))
        return
    result, expected = apply(name, text, case.get("python_seed"))
    assert len(result) == len(expected)
    for actual, reference in zip(result, expected, strict=True):
        np.testing.assert_allclose(actual, reference, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", of_kind("downscale"))
def test_downscale(name):
    case = CASES[name]
    (actual,), (expected,) = apply(name, case["transforms"])
    assert list(actual.shape) == case["out_shape"]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=LEVEL)


def test_eight_bit_images_survive_the_detour_over_floats():
    arrays = load_npz("generators", "data.npz")
    if "downscale/uint8_roundtrip" not in arrays:
        pytest.skip("no round trip in this set")
    levels = np.arange(256, dtype=np.uint8)
    there = parse_transforms("pil2np")(levels[:, None, None])
    np.testing.assert_array_equal(
        np.uint8(there * 255).ravel(), arrays["downscale/uint8_roundtrip"]
    )


PREGENERATED = CASES.get("pregenerated", {})


def pregenerated(idx, tmp_path):
    path = tmp_path / "tuples.pkl"
    path.write_bytes(pickle.dumps({PREGENERATED["data_key"]: PREGENERATED["tuples"]}))
    section = {
        "name": "PregeneratedImageTuple",
        "dataset": str(path),
        "data_key": PREGENERATED["data_key"],
        "image_dir": PREGENERATED["image_dir"],
        "idx": idx,
    }
    return registry.build("dataset", section, None, ())


@pytest.mark.parametrize("idx", PREGENERATED.get("result", {}))
def test_pregenerated_tuples(idx, tmp_path):
    dataset = pregenerated(idx, tmp_path)
    found = [[os.path.basename(p) for p in dataset.paths(i)] for i in range(len(dataset))]
    assert found == PREGENERATED["result"][idx]


@pytest.mark.skipif("first_paths" not in PREGENERATED, reason="no paths in this set")
def test_paths_of_a_pregenerated_tuple(tmp_path):
    assert pregenerated("0_1", tmp_path).paths(0) == PREGENERATED["first_paths"]
