"""A process of a real torchrun job that ends in the middle of an epoch is told in words."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.learning.test_killed import assert_same
from tests.learning.test_within_epoch import outcome
from tests.learning.tiny_run import train_params, write_data
from tests.scenario.command import COMMAND

pytestmark = pytest.mark.slow
KEPT = "; what is done is kept, the same command goes on"
# A signal stands for what may be raised in the middle of a step.
RAISING = """
import os, signal

def fail(number, frame):
    raise ValueError("this image is not one")

if "RANK" in os.environ:
    signal.signal(signal.SIGUSR1, fail)
"""


def scenario(folder, directory, epochs):
    section = train_params(directory, epochs=epochs)
    section["learning"]["checkpoints"]["checkpoint_every"] = 1
    section["output"]["learning"]["progress"] = 1
    step = {"__function__": "mdir.stages.train.train", **section}
    (folder / "s.yml").write_text(yaml.safe_dump({"go": {"1_train": step}}))


def start(folder):
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node=2"]
    launcher += ["--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0"]
    environ = {
        **os.environ,
        "CIRTORCH_ROOT": str(folder / "root"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(folder),
    }
    with open(folder / "err", "w") as err:
        return subprocess.Popen(
            [sys.executable, *launcher, COMMAND[1], "go", "s.yml"],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=err,
            text=True,
        )


def ranks(launcher):
    """The number of each process of a launcher by its rank."""
    found = {}
    for child in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split():
        for entry in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            if entry.startswith(b"RANK="):
                found[int(entry[5:])] = int(child)
    return found


@pytest.fixture
def running(tmp_path):
    """A folder, the launcher of a training in its second epoch, and its processes by rank."""
    (tmp_path / "root").mkdir()
    write_data(tmp_path / "root")
    (tmp_path / "sitecustomize.py").write_text(RAISING)
    scenario(tmp_path, "run", epochs=500)
    launcher = start(tmp_path)
    while "Train [02]" not in (tmp_path / "err").read_text():
        assert launcher.poll() is None, (tmp_path / "err").read_text()
        time.sleep(0.1)
    processes = ranks(launcher)
    yield tmp_path, launcher, processes
    launcher.kill()
    launcher.wait()
    for number in processes.values():
        assert not Path(f"/proc/{number}").exists()  # nobody is left waiting


def told(folder, launcher):
    assert launcher.wait() == 1
    lines = (folder / "err").read_text().splitlines()
    return [line for line in lines if line.startswith("error: ") or "terminated;" in line]


@pytest.mark.parametrize("rank", [0, 1])
def test_killed(running, rank):
    folder, launcher, processes = running
    os.kill(processes[rank], signal.SIGKILL)
    (line,) = told(folder, launcher)
    assert f"process {rank + 1} of 2 (rank {rank}, pid {processes[rank]}) " in line
    assert "killed" in line.lower().replace("sigkill", "killed") and line.endswith(KEPT)


@pytest.mark.parametrize("rank", [0, 1])
def test_terminated(running, rank):
    folder, launcher, processes = running
    os.kill(processes[rank], signal.SIGTERM)
    lost = f"process {rank + 1} of 2 (rank {rank}) was ended by SIGTERM"
    # The launcher ends the other one, which may not have missed the first by then.
    ends = (f"{lost}{KEPT}", f"terminated{KEPT}")
    lines = told(folder, launcher)
    assert lines and all(line.endswith(ends) for line in lines)


def test_the_launcher_is_terminated(running):
    folder, launcher, _ = running
    launcher.send_signal(signal.SIGTERM)
    assert told(folder, launcher) == [f"terminated{KEPT}"]


@pytest.mark.parametrize("rank", [0, 1])
def test_an_exception_of_one(running, rank):
    folder, launcher, processes = running
    os.kill(processes[rank], signal.SIGUSR1)
    (line,) = told(folder, launcher)
    assert line.startswith("error: step 1_train failed: ValueError: this image is not one")


def test_one_has_no_memory_left(running):
    folder, launcher, processes = running
    size = int(Path(f"/proc/{processes[1]}/statm").read_text().split()[0])
    resource.prlimit(processes[1], resource.RLIMIT_AS, (size * resource.getpagesize(),) * 2)
    (line,) = told(folder, launcher)
    assert "memory" in line and "gloo" not in line


def test_the_same_command_goes_on(running):
    folder, launcher, processes = running
    os.kill(processes[1], signal.SIGKILL)
    launcher.wait()
    results = []
    for directory in ("run", "whole"):
        scenario(folder, directory, epochs=8)
        assert start(folder).wait() == 0, (folder / "err").read_text()
        results.append(outcome(folder / "root" / directory / "epochs"))
    assert_same(*results)
