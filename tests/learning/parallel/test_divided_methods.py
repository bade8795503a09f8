"""A step divided among two processes is the step of one: losses, weights, statistics, pools."""

import random

import numpy as np
import pytest
import torch

from benchmarks.generators import make_method
from mdir import distributed
from mdir.distributed import BatchPart
from mdir.errors import UserError
from mdir.learning.parallel.steps import DividedSteps
from mdir.methods.base import Method
from mdir.networks.base import models_of
from tests.learning.parallel.launching import launch

SMALL = {"filters": 2, "blocks": 7, "patches": 16}
BATCHES = (3, 2, 1)  # too few for both, where one of the processes has nothing of its own


def batches():
    generator = torch.Generator().manual_seed(0)
    for count in BATCHES:
        shape = (count, 3, 32, 32)
        pair = (torch.rand(shape, generator=generator, dtype=torch.float64) for _ in range(2))
        yield [images * 2 - 1 for images in pair]


def made(name, norm):
    np.random.seed(0)
    random.seed(0)
    method = make_method(name, norm, **SMALL)
    for model in models_of(method.network):
        model.double()
    for pool in getattr(method, "pools", {}).values():
        pool.size = 2
    if name == "cut":
        method.nce.groups = 1  # negatives come from all images
    method.network.train()
    return method


def outcome(method, losses=None):
    """Losses, weights and pools; a bias before a norm has no true gradient but rounding noise."""
    state = {
        f"{name}.{key}": value.clone()
        for name, member in method.network.members.items()
        for key, value in member.model.state_dict().items()
        if not key.endswith("bias")
    }
    return losses, state, method.state_dict()


@pytest.mark.parametrize(
    "name, norm",
    [
        ("cyclegan", None),
        ("cut", None),
        ("hedgan", "batch"),
        pytest.param("hedngan", None, marks=pytest.mark.slow),
    ],
)
def test_the_same_step(name, norm):
    whole = made(name, norm)
    expected = outcome(whole, [whole.step(batch) for batch in batches()])

    def run(number):
        with distributed.together():
            method = made(name, norm)
            steps = DividedSteps(method, method.optimizer, models_of(method.network))
            losses = []
            for batch in batches():
                part = BatchPart(len(batch[0][number::2]), len(batch[0]))
                losses.append(steps.step([part.cut(images) for images in batch], part))
            torch.testing.assert_close(losses, expected[0], rtol=1e-8, atol=1e-10)
            torch.testing.assert_close(outcome(method)[1:], expected[1:], rtol=1e-6, atol=1e-9)

    assert launch(run) == [0, 0]


def test_methods_that_compare_the_images_of_a_batch_are_refused():
    class Comparing(Method):
        pass

    with pytest.raises(UserError, match="Comparing cannot be divided among 1 processes: its loss"):
        DividedSteps(Comparing.__new__(Comparing), None, [])


def test_sums_over_a_batch_are_refused():
    method = make_method("hedgan", None, **SMALL)
    method.criterion.losses["edge"].reduction = "sum"
    with pytest.raises(UserError, match="the reduction of its L1Loss is not mean"):
        DividedSteps(method, method.optimizer, [])
