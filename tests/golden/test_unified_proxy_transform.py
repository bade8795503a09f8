"""Golden parity of the transforms that evaluations of UnifiedProxy take."""

import numpy as np
import pytest
import torch
from PIL import Image

from mdir.data.transforms.parse import parse_transforms
from mdir.networks.proxy_files import preprocessing
from tests.golden.golden import array_cases, load_npz, needs

TOPIC = "unified_proxy"
CASES = array_cases(TOPIC, "transform*.npz", "sub8")


def test_cases_are_there():
    needs(TOPIC, "transform.npz")
    assert CASES


@pytest.mark.parametrize("name, case", CASES)
def test_evaluation_transform(name, case):
    arrays, data = load_npz(TOPIC, name), preprocessing(case)
    transform = parse_transforms(data["transforms"], data["mean_std"])
    found = transform(Image.fromarray(arrays["image"]))
    tolerance = 2e-2 if max(data["mean_std"][0]) < 1 else 1.0  # a level of grey
    assert found.shape == (3, 224, 224)
    assert found.dtype == torch.float32
    for ending, value in (
        ("sub8", found[:, ::8, ::8]),
        ("mean", found.mean((1, 2))),
        ("std", found.std((1, 2))),
    ):
        difference = np.abs(value.numpy() - arrays[f"{case}_{ending}"])
        assert difference.max() <= tolerance
