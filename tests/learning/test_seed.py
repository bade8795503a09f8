"""One seed decides a training, weights as constructed included."""

import pytest
import torch

from mdir.learning.seeding import generators_state, restore_generators
from mdir.stages.train import train
from tests.learning.tiny_run import train_params, write_data


@pytest.fixture(autouse=True)
def generators_put_back():
    state = generators_state()
    yield
    restore_generators(state)


def trained(root, directory, seed, noise):
    """The final weights of a fresh training in a process whose generators stand anywhere."""
    params = train_params(directory, epochs=1)
    params["learning"]["training"]["seed"] = seed
    for name in ("first", "last"):
        params["network"][name]["initialize"] = False
    torch.manual_seed(noise)
    train(params)
    state = torch.load(root / directory / "epochs/last_last.pth", weights_only=True)
    return torch.cat([entry.flatten().float() for entry in state["model_state"].values()])


def test_weights_as_constructed_follow_the_seed(root):
    write_data(root)
    one, same, other = (trained(root, *run) for run in (("a", 5, 1), ("b", 5, 2), ("c", 6, 1)))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
