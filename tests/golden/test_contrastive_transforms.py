"""Golden parity of the contrastive scenarios' transforms, and that every file is read."""

import re
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mdir.data.transforms.parse import parse_transforms
from mdir.data.transforms.views import ratio_box
from tests.golden.golden import files, golden_root, load_npz
from tests.shipped.test_two_domains import SETS, resolved

TOPIC = "contrastive"


def transform_cases():
    """(file, image key ``i{i}_{H}x{W}``, preset): one for each stored shape."""
    cases = []
    for name in files(TOPIC, "transforms*.npz"):
        with np.load(golden_root() / TOPIC / name, allow_pickle=False) as arrays:
            for key in arrays.files:
                if key.startswith("i") and key.endswith("_shape"):
                    number, size, preset = key[: -len("_shape")].split("_", 2)
                    cases.append(pytest.param(name, f"{number}_{size}", preset, id=key))
    return cases


def preset_scenario(preset):
    """``daco_tokyo`` -> ``daco/tokyo.yml``; ``ossco``, alike for all sets -> its first one."""
    return next(path for path in SETS if path.replace("/", "_").startswith(preset))


@pytest.mark.parametrize("name, image, preset", transform_cases())
def test_validation_transform(name, image, preset):
    arrays = load_npz(TOPIC, name)
    number, size = image.split("_")
    height, width = map(int, size.split("x"))
    generator = np.random.RandomState(int(arrays["image_seed"]) + int(number[1:]))
    pixels = generator.randint(0, 256, (height, width, 3)).astype(np.uint8)
    steps = resolved(preset_scenario(preset), "simclr").values()
    (train,) = [step for step in steps if "learning" in step]
    data = train["network"]["runtime"]["data"]
    output = parse_transforms(data["transforms"], data["mean_std"])(Image.fromarray(pixels)).numpy()
    key = f"{image}_{preset}"
    assert list(output.shape) == arrays[f"{key}_shape"].tolist()
    assert np.abs(output[:, ::16, ::16] - arrays[f"{key}_grid"]).max() <= 1e-5
    channels = output.reshape(3, -1).astype(np.float64)
    assert np.abs(channels.mean(axis=1) - arrays[f"{key}_mean"]).max() <= 1e-5
    assert np.abs(channels.std(axis=1) - arrays[f"{key}_std"]).max() <= 1e-5


@pytest.mark.parametrize("name", files(TOPIC, "transforms*.npz"))
def test_crop_of_ossco(name):
    arrays = load_npz(TOPIC, name)
    for (width, height), box in zip(arrays["crop_wh"], arrays["crop_box_ijhw"], strict=True):
        assert ratio_box(int(width), int(height)) == tuple(box.tolist())


def test_every_file_is_read():
    """A golden file of this topic whose kind no test of this topic collects is a failure."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_contrastive*.py"))
    kinds = re.findall(r'"(\w+\*\.npz)"', tests)
    names = files(TOPIC, "*.npz") + files(TOPIC, "*.json")
    assert not [name for name in names if not any(fnmatch(name, kind) for kind in kinds)]
