"""Training state on disk: whole or not at all, and never run."""

import os
import pathlib

import numpy as np
import pytest
import torch

from cirtorch.utils.errors import DataError
from mdir.learning.checkpoints.state_files import load_state, save_state
from mdir.learning.seeding import generators_state, restore_generators, seed_epoch, seed_everything


class Hostile:
    def __reduce__(self):
        return (os.system, ("touch /tmp/never",))


def test_arrays_and_paths_of_published_files_load(tmp_path):
    state = {
        "array": np.arange(3.0),
        "whole": np.arange(3, dtype=np.int32),
        "number": np.float64(2.5),
        "path": pathlib.PosixPath("a/b"),
        "tensor": torch.ones(2),
    }
    torch.save(state, tmp_path / "x.pth")
    loaded = load_state(tmp_path / "x.pth")
    assert loaded["array"].tolist() == [0, 1, 2]
    assert loaded["number"] == 2.5
    assert str(loaded["path"]) == "a/b"
    assert loaded["whole"].dtype == np.int32


@pytest.mark.parametrize("content", [{"a": Hostile()}, np.array([Hostile()], dtype=object)])
def test_nothing_else_is_loaded(tmp_path, content, monkeypatch):
    ran = []
    torch.save(content, tmp_path / "x.pth")
    monkeypatch.setattr(os, "system", ran.append)
    with pytest.raises(DataError, match="refuses to load"):
        load_state(tmp_path / "x.pth")
    assert ran == []


def test_broken_and_missing_files_are_named(tmp_path):
    path = tmp_path / "x.pth"
    with pytest.raises(DataError, match="no such file"):
        load_state(path)
    save_state({"a": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"x\.pth"):
        load_state(path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.pth"
    save_state({"a": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        save_state({"a": lambda: 0}, path)
    assert load_state(path) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["x.pth"]


def test_generators_survive_a_file(tmp_path):
    import random

    seed_everything(5)
    random.gauss(0, 1)
    save_state(generators_state(), tmp_path / "g.pth")
    expected = random.random(), random.gauss(0, 1), np.random.rand(), torch.rand(1).item()
    restore_generators(load_state(tmp_path / "g.pth"))
    assert (random.random(), random.gauss(0, 1), np.random.rand(), torch.rand(1).item()) == expected


def test_an_epoch_is_seeded_by_seed_and_number():
    def draw(seed, epoch):
        seed_epoch(seed, epoch)
        return np.random.rand(), torch.rand(1).item()

    assert draw(1, 2) == draw(2, 1)
    assert draw(1, 2) != draw(1, 3)
    assert draw(None, 0) != draw(None, 0)
