"""Golden parity of the losses of cosines and proxies."""

import numpy as np
import pytest
import torch

from mdir import registry
from tests.golden import golden

CASES = golden.array_cases("unified_proxy", "losses*.npz", "loss")


def test_cases_are_there():
    golden.needs("unified_proxy", "losses.npz")
    assert CASES


@pytest.mark.parametrize("name, case", CASES)
def test_loss_and_gradient(name, case):
    arrays = golden.load_npz("unified_proxy", name)
    case, loss = case.split("_", 1)
    options, batch = {}, case if f"{case}_cos" in arrays else "a"
    if f"{case}_cfg" in arrays:
        options = dict(zip(("scale", "margin"), arrays[f"{case}_cfg"].tolist(), strict=True))
    cosines = torch.tensor(arrays[f"{batch}_cos"]).requires_grad_()
    labels = torch.tensor(arrays[f"{batch}_label"])
    found = registry.make("criterion", {"loss": loss} | options)(cosines, labels)
    found.backward()
    expected = arrays[f"{case}_{loss}_loss"], arrays[f"{case}_{loss}_grad"]
    np.testing.assert_allclose(found.detach(), expected[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(cosines.grad, expected[1], rtol=1e-4, atol=1e-4)
