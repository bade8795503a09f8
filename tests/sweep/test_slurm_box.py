"""A sweep on a real cluster, in one box: its jobs are killed and queued again, its numbers stay."""

import os
import subprocess
from contextlib import contextmanager

import pytest

from tests.scenario.command import COMMAND
from tests.sweep.slurm_box import ask, slurm_box, wait_until

EPOCHS = 10  # enough to be killed in the midst
SWEEP = """\
axes:
  all.2_train.network.initialize.seed: 0..2
compare: 3_evaluate
resources: {time: 30m, cpus: 1, memory: 900M, partition: main}
"""
SETTINGS = [
    f"all.2_train.learning.training.epochs={EPOCHS}",
    "all.2_train.learning.checkpoints.directory=sandbox/${SWEEP_CELL}/training",
    "all.4_report.directory=sandbox/${SWEEP_CELL}/report",
]


@pytest.fixture
def environ(monkeypatch):
    """The environment with a cluster in it."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with slurm_box() as box:
        yield {**os.environ, **box}


@contextmanager
def sweep(folder, environ, *options):
    """The command, started in a folder that is its root too; it does not outlive the block."""
    folder.mkdir(exist_ok=True)
    (folder / "seeds.yml").write_text(SWEEP)
    words = ["sweep", "all", "sandbox.yml", *SETTINGS, "seeds.yml", *options]
    process = subprocess.Popen(
        [*COMMAND, *words],
        cwd=folder,
        env={**environ, "CIRTORCH_ROOT": str(folder)},
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()  # which ends its cells and jobs
            process.communicate()


def finish(process):
    return process.communicate()[0], process.returncode


def results(folder):
    [place] = folder.glob("sweeps/*/*/*/cells.csv")
    return place.read_text()


def log(folder, cell):
    [place] = folder.glob(f"sweeps/*/*/*/logs/{cell}.log")
    return place.read_text()


def trains(folder, cell):
    """Whether a cell has left a checkpoint, and goes on to train."""
    return any((folder / "sandbox" / cell / "training").rglob("*_epoch_*"))


def job_of(environ, seed):
    """The number of the job of a cell, of which they are in the order."""
    numbers = ask(environ, "squeue", "--noheader", "--array", "--format=%i").split()
    return next(number for number in numbers if number.endswith(f"_{seed}"))


@pytest.mark.slow
def test_cancelled_and_requeued_jobs_change_no_number(tmp_path, environ):
    with sweep(tmp_path / "whole", environ) as process:
        told, code = finish(process)
    assert code == 0, told

    folder = tmp_path / "killed"
    with sweep(folder, environ, "--on", "slurm") as process:
        wait_until(lambda: trains(folder, "seed-0"), process)
        ask(environ, "scancel", job_of(environ, 0))
        wait_until(lambda: trains(folder, "seed-1"), process)
        ask(environ, "scontrol", "requeue", job_of(environ, 1))
        told, code = finish(process)
    assert code == 1, told
    assert "error: cell seed-0 failed" in told
    assert "(CANCELLED)" in log(folder, "seed-0")
    assert log(folder, "seed-1").count("\nterminated; what is done is kept") == 1
    assert results(folder) != results(tmp_path / "whole")

    with sweep(folder, environ, "--on", "slurm") as process:
        told, code = finish(process)
    assert code == 0, told
    assert "3 cells, 2 done" in told
    assert results(folder) == results(tmp_path / "whole")
    assert len(results(folder).splitlines()) == 4
