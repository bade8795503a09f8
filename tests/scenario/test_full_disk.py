"""A disk that is full, or may not be written, in the middle of a run: a line with the path."""

import resource
from contextlib import contextmanager

import pytest

from tests.scenario.command import PROJECT, run_here

SANDBOX = str(PROJECT / "scenarios/sandbox.yml")
TRAINING = "all.2_train.learning.training.epochs=1"


@contextmanager
def limited(size):
    """No file may grow beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [400_000, 1_500_000])
def test_files_that_cannot_grow(tmp_path, size):
    with limited(size):
        result = run_here("all", SANDBOX, TRAINING, folder=tmp_path)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    steps = ("1_city", "2_train")
    assert last.startswith(tuple(f"error: step {name} failed: {tmp_path}/root/" for name in steps))
    assert last.endswith(": File too large")
    assert "Traceback" not in result.stderr
    assert not list((tmp_path / "root").rglob(".*.tmp"))


def test_a_folder_in_the_place_of_a_checkpoint(tmp_path):
    place = tmp_path / "root/sandbox/sandbox/training/epochs/net_epoch_01.pth"
    (place / "mine").mkdir(parents=True)
    result = run_here("all", SANDBOX, TRAINING, folder=tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        f"error: step 2_train failed: {place}: Is a directory"
    )
    assert (place / "mine").is_dir()
