"""A newest checkpoint that is damaged: the run goes back to the one before, and says so."""

import os
import shutil

import pytest

from cirtorch.utils.errors import DamagedFile
from tests.learning.test_killed import assert_same
from tests.learning.test_within_epoch import Stopped, outcome, performed
from tests.learning.tiny_run import train_params, write_data

STEPS = 3  # of an epoch


def params(directory="run", epochs=4, checkpoint_every=1, store_every=0):
    section = train_params(directory, epochs=epochs)
    checkpoints = {"checkpoint_every": checkpoint_every, "store_every": store_every}
    section["learning"]["checkpoints"].update(checkpoints)
    return section


def cut(path):
    path = path.resolve()
    content = path.read_bytes()
    path.unlink()  # not what has the same content elsewhere
    path.write_bytes(content[: len(content) // 2])


@pytest.fixture
def whole(root):
    write_data(root)
    performed(params("whole"), minutes=None)
    return root / "whole/epochs"


@pytest.mark.parametrize("kind", ["learning", "extra", "last"])
@pytest.mark.parametrize("every", [1, 2])
def test_of_a_stopped_run(whole, root, kind, every, capfd):
    section = params(checkpoint_every=1, store_every=every - 1)
    with pytest.raises(Stopped):
        performed(section, minutes=None, stop=3 * STEPS + 1)
    cut(root / f"run/epochs/{kind}_epoch_03.pth")
    performed(params(store_every=every - 1), minutes=None)
    told = capfd.readouterr().err
    assert f"run/epochs/{kind}_epoch_03.pth: is damaged or cut short" in told
    assert "going back to the state before it" in told and "goes on after epoch 2 of 4" in told
    if every == 1:
        assert_same(outcome(root / "run/epochs"), outcome(whole))


def test_of_a_finished_run_that_goes_on(whole, root, capfd):
    performed(params(epochs=3), minutes=None)
    cut(root / "run/epochs/learning_epoch_03.pth")
    performed(params(), minutes=None)
    assert "goes on after epoch 2 of 4" in capfd.readouterr().err
    assert_same(outcome(root / "run/epochs"), outcome(whole))


def test_twice(whole, root):
    """The sound one stays until another has been written."""
    performed(params(epochs=3), minutes=None)
    cut(root / "run/epochs/learning_epoch_03.pth")
    with pytest.raises(Stopped):
        performed(params(), minutes=None, stop=1)
    performed(params(epochs=3), minutes=None)
    cut(root / "run/epochs/net_epoch_03.pth")
    performed(params(), minutes=None)
    assert_same(outcome(root / "run/epochs"), outcome(whole))


def test_in_an_epoch(whole, root, capfd):
    """A state in the middle of an epoch is newer than the damaged checkpoint."""
    with pytest.raises(Stopped):
        performed(params(), stop=3 * STEPS + 1)
    cut(root / "run/epochs/learning_epoch_03.pth")
    performed(params(), minutes=None)
    assert "goes on after 1 iterations of epoch 4 of 4" in capfd.readouterr().err
    assert_same(outcome(root / "run/epochs"), outcome(whole))


def test_where_there_are_no_hard_links(whole, root, monkeypatch):
    def link(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    performed(params(epochs=3), minutes=None)
    cut(root / "run/epochs/learning_epoch_03.pth")
    performed(params(), minutes=None)
    assert_same(outcome(root / "run/epochs"), outcome(whole))


def test_of_the_only_one(root):
    write_data(root)
    performed(params(epochs=1), minutes=None)
    cut(root / "run/epochs/learning_epoch_01.pth")
    with pytest.raises(DamagedFile, match="no checkpoint is sound; put one back"):
        performed(params(epochs=2), minutes=None)
    shutil.rmtree(root / "run")
    performed(params(epochs=2), minutes=None)
