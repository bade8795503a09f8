"""Two runs in one folder: the second one is refused while the first one lives."""

import os
import signal

import pytest

from mdir.errors import UserError
from mdir.learning.checkpoints.lock import claimed
from mdir.stages.train import train
from tests.learning.tiny_run import train_params, write_data


def start(folder, then):
    """A process that claims a folder and does something; returns its id once it has claimed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with claimed(folder):
                os.write(writer, b"claimed")
                then()
        finally:
            os._exit(0)
    os.close(writer)
    assert os.read(reader, 7)
    os.close(reader)
    return child


def end(child):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_second_run_is_refused_until_the_first_one_dies(root):
    write_data(root)
    folder = root / "run"
    child = start(folder, signal.pause)
    with pytest.raises(UserError, match=rf"run: another run \(process {child} on .* since 20.*\)"):
        train(train_params(epochs=1))
    assert not (folder / "epochs").exists()
    end(child)
    assert (folder / ".lock").exists()
    train(train_params(epochs=1))
    assert os.listdir(folder) == ["epochs"]


def test_children_do_not_hold_on(tmp_path):
    """Workers may outlive a killed run for seconds."""
    reader, writer = os.pipe()

    def with_worker():
        worker = os.fork()
        if worker == 0:
            signal.pause()
        os.write(writer, f"{worker:010d}".encode())
        signal.pause()

    child = start(tmp_path / "run", with_worker)
    worker = int(os.read(reader, 10))
    end(child)
    try:
        with claimed(tmp_path / "run"):
            assert f"process {os.getpid()} on" in (tmp_path / "run/.lock").read_text()
    finally:
        os.kill(worker, signal.SIGKILL)
    assert not (tmp_path / "run").exists()


def test_failing_runs_let_go(root):
    for _ in range(2):
        with pytest.raises(ValueError, match="fails"), claimed(root / "run"):
            raise ValueError("fails")
    assert not (root / "run").exists()


def test_a_full_disk_does_not_keep_a_run_from_its_lock(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mdir.learning.checkpoints.lock.os.write", full)
    with claimed(tmp_path / "epochs"):
        assert (tmp_path / "epochs/.lock").exists()
    assert not (tmp_path / "epochs").exists()
