"""One seed decides a training, weights as constructed included."""

import random

import numpy as np
import pytest
import torch

from cirtorch.utils.weight_files import load_weights, save_weights
from mdir.learning.seeding import generators_state, restore_generators, seed_epoch, seed_everything
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


def test_generators_survive_a_file(tmp_path):
    seed_everything(5)
    random.gauss(0, 1)
    np.random.randn()  # each keeps a second normal number for the next call
    save_weights(generators_state(), tmp_path / "g.pth")

    def draw():
        normal = random.gauss(0, 1), np.random.randn()
        return *normal, random.random(), np.random.rand(), torch.rand(1).item()

    expected = draw()
    restore_generators(load_weights(tmp_path / "g.pth"))
    assert draw() == expected


def test_an_epoch_is_seeded_by_seed_and_number():
    def draw(seed, epoch):
        seed_epoch(seed, epoch)
        return np.random.rand(), torch.rand(1).item()

    assert draw(1, 2) == draw(2, 1)
    assert draw(1, 2) != draw(1, 3)
    assert draw(None, 0) != draw(None, 0)


def test_the_loader_of_an_epoch_has_the_seed_of_the_run():
    assert seed_epoch(7, 2) == 7
    torch.manual_seed(1)
    expected = int(torch.randint(2**31, ()))
    torch.manual_seed(1)
    assert seed_epoch(None, 2) == expected


def test_seeds_beyond_numpys_range_are_taken_modulo_it():
    seed_everything(2**32 + 5)
    found = np.random.rand()
    np.random.seed(5)
    assert found == np.random.rand()


def test_every_generator_follows_the_seed_and_none_moves_without_one():
    def draw(seed):
        seed_everything(seed)
        return random.random(), np.random.rand(), torch.rand(1).item()

    first = draw(3)
    assert draw(3) == first
    assert all(one != other for one, other in zip(draw(4), first, strict=True))
    draw(3)
    random.random(), np.random.rand(), torch.rand(1)
    after = random.random(), np.random.rand(), torch.rand(1).item()
    draw(3)
    assert draw(None) != first
    draw(3)
    seed_everything(None)
    random.random(), np.random.rand(), torch.rand(1)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == after
