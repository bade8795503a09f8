"""Golden parity of the losses of cosines and proxies."""

import numpy as np
import pytest
import torch

from mdir import registry
from tests.golden import golden

ARRAYS = golden.load_npz("unified_proxy", "losses.npz")
CASES = sorted(
    tuple(key.removesuffix("_loss").split("_", 1)) for key in ARRAYS if key.endswith("_loss")
)


def test_cases_are_there():
    golden.needs("unified_proxy", "losses.npz")
    assert CASES


@pytest.mark.parametrize(("case", "loss"), CASES)
def test_loss_and_gradient(case, loss):
    options, batch = {}, case if f"{case}_cos" in ARRAYS else "a"
    if f"{case}_cfg" in ARRAYS:
        options = dict(zip(("scale", "margin"), ARRAYS[f"{case}_cfg"].tolist(), strict=True))
    cosines = torch.tensor(ARRAYS[f"{batch}_cos"]).requires_grad_()
    labels = torch.tensor(ARRAYS[f"{batch}_label"])
    found = registry.make("criterion", {"loss": loss} | options)(cosines, labels)
    found.backward()
    expected = ARRAYS[f"{case}_{loss}_loss"], ARRAYS[f"{case}_{loss}_grad"]
    np.testing.assert_allclose(found.detach(), expected[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(cosines.grad, expected[1], rtol=1e-4, atol=1e-4)
