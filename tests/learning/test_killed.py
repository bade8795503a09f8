"""A run killed at any instant and started again ends as if never interrupted, bit for bit."""

import json
import os
import random
import shutil
import signal
import time
import traceback

import pytest
import torch

from cirtorch.utils.weight_files import load_weights
from mdir.methods.metric import SupervisedEpoch
from mdir.registry import check_parameters, register
from mdir.stages.train import train
from tests.learning.tiny_run import train_params, write_data

EPOCHS = 5


@register("method", "PooledEpochOfTests")
class PooledEpoch(SupervisedEpoch):
    """Learns from earlier targets too, drawn with Python's generator: state beside the weights."""

    def __init__(self, *given, batch_average: bool, fakebatch: bool):
        super().__init__(*given, batch_average=batch_average, fakebatch=fakebatch)
        self.pool = []

    def step(self, batch):
        self.pool.append(batch[1].tensor)
        return super().step((batch[0], random.choice(self.pool)))

    def state_dict(self):
        return {"pool": list(self.pool)}

    def load_state_dict(self, state):
        self.pool = list(state["pool"])


def params(minutes=None):
    given = train_params(epochs=EPOCHS, workers=2)
    given["learning"]["checkpoints"]["every_minutes"] = minutes
    given["learning"]["training"]["epoch_iteration"]["type"] = "PooledEpochOfTests"
    return given


class Fuse:
    """Kills this process when so many moments of the run have passed."""

    def __init__(self, moments=None):
        self.left = moments
        self.passed = 0

    def burn(self):
        self.passed += 1
        if self.left is not None and self.passed > self.left:
            os.kill(os.getpid(), signal.SIGKILL)

    def light(self):
        """Make every step and every change of a file such a moment, some of them halfway."""
        for name in ("replace", "unlink", "fsync"):
            setattr(os, name, self._before(getattr(os, name)))
        PooledEpoch.step = self._before(PooledEpoch.step)
        torch.save = self._halfway(torch.save)

    def _before(self, function):
        def fused(*args, **kwargs):
            self.burn()
            return function(*args, **kwargs)

        return fused

    def _halfway(self, function):
        def fused(state, file):
            if self.left is not None and self.passed == self.left:
                file.write(b"half a file")
                file.flush()
            self.burn()
            return function(state, file)

        return fused


def start_child(function):
    """Call a function in a process of its own, which exits with 0 if it returned; the id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return child


def run_in_child(root, moments=None, seconds=None, minutes=None):
    """Train in a process of its own, killed after so many moments or seconds.

    Args:
        minutes: how often a state is kept in the middle of an epoch.

    Returns:
        its exit status (0 when it finished) and how many moments passed, if it finished.
    """
    report = root / "moments.txt"
    report.unlink(missing_ok=True)

    def training():
        fuse = Fuse(moments)
        fuse.light()
        metadata = train(params(minutes))[0]
        (root / "metadata.json").write_text(json.dumps(metadata))
        report.write_text(str(fuse.passed))

    child = start_child(training)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return status, int(report.read_text()) if report.exists() else None


def outcome(root):
    """Everything that must be equal: files, networks, training state, losses, metadata."""
    folder = root / "run" / "epochs"
    files = {path.name: os.path.islink(path) and os.readlink(path) for path in folder.glob("*.pth")}
    states = {name: load_weights(folder / name) for name in files}
    learning = states.pop(f"learning_epoch_{EPOCHS:02d}.pth")
    rows = map(json.loads, (folder / "events.jsonl").read_text().splitlines())
    scores = [
        (row["epoch"], row["key"], row["data"], row["relative_iteration"])
        for row in rows
        if row["dtype"] in ("scalar/loss", "weight/param")
    ]
    table = [
        [cell for name, cell in zip(names.split(","), line.split(","), strict=True)
         if "loss" in name]
        for names, *lines in [(folder / "metrics.csv").read_text().splitlines()]
        for line in lines
    ]  # fmt: skip
    metadata = json.loads((root / "metadata.json").read_text())
    metadata = [metadata["metrics"], metadata["best_epoch"]]
    return [files, states, learning["training"], scores, table, metadata]


def assert_same(ours, theirs, path=()):
    assert type(ours) is type(theirs), path
    if isinstance(ours, dict):
        assert list(ours) == list(theirs), path
        for key in ours:
            assert_same(ours[key], theirs[key], (*path, key))
    elif isinstance(ours, (list, tuple)):
        assert len(ours) == len(theirs), path
        for index, pair in enumerate(zip(ours, theirs, strict=True)):
            assert_same(*pair, (*path, index))
    elif isinstance(ours, torch.Tensor):
        assert ours.dtype == theirs.dtype, path
        assert torch.equal(ours, theirs), path
    else:
        assert ours == theirs, path


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """What a run that nobody kills leaves, its moments by ``every_minutes``, and its seconds."""
    root = tmp_path_factory.mktemp("whole")
    write_data(root)
    before = os.environ.get("CIRTORCH_ROOT")
    os.environ["CIRTORCH_ROOT"] = str(root)
    # the children inherit what checking imports, instead of importing it themselves
    assert not list(check_parameters(train.function, params()))
    begin = time.time()
    status, moments = run_in_child(root)
    seconds = time.time() - begin
    whole = outcome(root)
    shutil.rmtree(root / "run")
    _, many = run_in_child(root, minutes=0)
    assert_same(outcome(root), whole)
    os.environ.pop("CIRTORCH_ROOT") if before is None else os.environ.update(CIRTORCH_ROOT=before)
    assert status == 0
    return whole, {None: moments, 0: many}, seconds


@pytest.mark.parametrize("minutes", [None, 0])
@pytest.mark.parametrize("trial", [0, 1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_at_steps_and_while_files_change(trial, minutes, uninterrupted, root):
    expected, moments, _ = uninterrupted
    chance = random.Random(trial)
    write_data(root)
    kills = 0
    while True:
        limit = chance.randrange(moments[minutes]) if kills < 3 else None
        status, _ = run_in_child(root, limit, minutes=minutes)
        if status == 0:
            break
        assert status == signal.SIGKILL, "the run failed by itself"
        kills += 1
    assert kills
    assert_same(outcome(root), expected)


def test_killed_at_every_moment_of_two_steps(uninterrupted, root):
    """The first steps of all, and the writing of their states."""
    expected, *_ = uninterrupted
    write_data(root)
    for limit in range(1, 14, 2):
        assert run_in_child(root, limit, minutes=0)[0] == signal.SIGKILL
    assert run_in_child(root, minutes=0)[0] == 0
    assert_same(outcome(root), expected)


@pytest.mark.slow
def test_killed_at_random_times(uninterrupted, root):
    expected, _, seconds = uninterrupted
    chance = random.Random(0)
    write_data(root)
    for _ in range(3):
        status, _ = run_in_child(root, seconds=chance.uniform(0, seconds), minutes=0.001)
        assert status in (0, signal.SIGKILL)
    assert run_in_child(root)[0] == 0
    assert_same(outcome(root), expected)


def test_every_change_of_the_last_checkpoint(uninterrupted, root):
    """Killed again and again a little later: each moment of writing the end of the run."""
    expected, moments, _ = uninterrupted
    write_data(root)
    assert run_in_child(root, moments[None] - 24)[0] == signal.SIGKILL
    for limit in range(0, 24, 4):
        if run_in_child(root, limit)[0] == 0:
            break
    assert run_in_child(root)[0] == 0
    assert_same(outcome(root), expected)
