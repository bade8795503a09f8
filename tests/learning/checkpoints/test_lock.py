"""Two runs in one folder: the second one is refused while the first one lives."""

import errno
import fcntl
import os
import re
import signal
import socket

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

    monkeypatch.setattr("cirtorch.utils.locks.os.write", full)
    with claimed(tmp_path / "epochs"):
        assert (tmp_path / "epochs/.lock").exists()
    assert not (tmp_path / "epochs").exists()


def test_who_holds_a_folder_is_told_in_one_line(tmp_path):
    (tmp_path / ".lock").write_text(
        "process 1 on somewhere else since the beginning of all times\n"
    )
    (tmp_path / "kept").touch()
    with claimed(tmp_path):
        (line,) = (tmp_path / ".lock").read_text().splitlines()
    since = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"
    assert re.fullmatch(
        rf"process {os.getpid()} on {re.escape(socket.gethostname())} since {since}", line
    )
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("error", [BlockingIOError, PermissionError])
@pytest.mark.parametrize(("holder", "told"), [("process 7\n", "(process 7) "), ("", "")])
def test_a_folder_that_another_run_holds(tmp_path, monkeypatch, error, holder, told):
    def lockf(*_):
        raise error

    monkeypatch.setattr(fcntl, "lockf", lockf)
    (tmp_path / ".lock").write_text(holder)
    with pytest.raises(UserError) as caught, claimed(tmp_path):
        pass
    assert str(caught.value) == (
        f"{tmp_path}: another run {told}trains here; wait for its end or choose another directory"
    )
    assert (tmp_path / ".lock").read_text() == holder


def test_where_the_file_system_knows_no_locks(tmp_path, monkeypatch):
    def lockf(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", lockf)
    with claimed(tmp_path / "a/b"):
        assert (tmp_path / "a/b/.lock").exists()
    assert not (tmp_path / "a/b").exists()


def test_a_lock_file_that_its_last_holder_just_removed_is_made_anew(tmp_path, monkeypatch):
    original, opened = fcntl.lockf, []

    def lockf(file, flags):
        opened.append(file)
        if len(opened) == 1:
            os.unlink(file.name)
        original(file, flags)

    monkeypatch.setattr(fcntl, "lockf", lockf)
    with claimed(tmp_path):
        assert f"process {os.getpid()} on" in (tmp_path / ".lock").read_text()
    assert [file.closed for file in opened] == [True, True]
