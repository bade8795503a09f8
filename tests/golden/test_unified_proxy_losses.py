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


def computed(name, case, device="cpu"):
    """The loss of a case and its gradient, and the expected ones."""
    arrays = golden.load_npz("unified_proxy", name)
    batch, loss = case.split("_", 1)
    options, given = {}, batch if f"{batch}_cos" in arrays else "a"
    if f"{batch}_cfg" in arrays:
        options = dict(zip(("scale", "margin"), arrays[f"{batch}_cfg"].tolist(), strict=True))
    cosines = torch.tensor(arrays[f"{given}_cos"]).to(device).requires_grad_()
    labels = torch.tensor(arrays[f"{given}_label"]).to(device)
    found = registry.make("criterion", {"loss": loss} | options).to(device)(cosines, labels)
    found.backward()
    return (found, cosines.grad), (arrays[f"{case}_loss"], arrays[f"{case}_grad"])


@pytest.mark.parametrize("name, case", CASES)
def test_loss_and_gradient(name, case):
    (loss, gradient), expected = computed(name, case)
    np.testing.assert_allclose(loss.detach(), expected[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-4, atol=1e-4)
