"""Golden parity of AdamP."""

import numpy as np
import pytest
import torch

from mdir.learning.optimizers import make_optimizer
from tests.golden import golden

CASES = golden.array_cases("unified_proxy", "adamp*.npz", "p0")


class OneWeight:
    def __init__(self, start):
        self.weight = torch.nn.Parameter(torch.tensor(start))

    def parameters(self, options):
        return [self.weight]


def test_cases_are_there():
    golden.needs("unified_proxy", "adamp.npz")
    assert CASES


@pytest.mark.parametrize("name, case", CASES)
def test_steps(name, case):
    arrays = golden.load_npz("unified_proxy", name)
    network = OneWeight(arrays[f"{case}_p0"])
    lr, weight_decay, nesterov = arrays[f"{case}_cfg"].tolist()
    options = {"lr": lr, "weight_decay": weight_decay, "nesterov": bool(nesterov)}
    optimizer = make_optimizer({"algorithm": "adamp", **options}, network)
    steps = zip(arrays[f"{case}_grads"], arrays[f"{case}_params"], strict=True)
    for gradient, expected in steps:
        network.weight.grad = torch.tensor(gradient)
        optimizer.step()
        np.testing.assert_allclose(network.weight.detach(), expected, rtol=0, atol=1e-5)
