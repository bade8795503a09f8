"""A sweep on a real cluster, in one box: its jobs are killed and queued again, its numbers stay."""

import os
import subprocess

import pytest

from tests.scenario.command import COMMAND
from tests.sweep.slurm_box import ask, slurm_box, wait_until

SWEEP = """\
axes:
  all.2_train.network.initialize.seed: 0..2
compare: 3_evaluate
resources: {time: 30m, cpus: 1, memory: 900M, partition: main}
"""
OWN_FOLDERS = [
    "all.2_train.learning.checkpoints.directory=sandbox/${SWEEP_CELL}/training",
    "all.4_report.directory=sandbox/${SWEEP_CELL}/report",
]
PATIENCE_S = 1800


@pytest.fixture
def environ(monkeypatch):
    """The environment with a cluster in it."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with slurm_box() as box:
        yield {**os.environ, **box}


def sweep(folder, environ, *options):
    """The command, started in a folder that is its root too."""
    folder.mkdir(exist_ok=True)
    (folder / "seeds.yml").write_text(SWEEP)
    words = ["sweep", "all", "sandbox.yml", *OWN_FOLDERS, "seeds.yml", *options]
    return subprocess.Popen(
        [*COMMAND, *words],
        cwd=folder,
        env={**environ, "CIRTORCH_ROOT": str(folder)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finish(process):
    told = process.communicate(timeout=PATIENCE_S)[0]
    return process.returncode, told


def results(folder):
    [place] = folder.glob("sweeps/*/*/*/cells.csv")
    return place.read_text()


def log(folder, cell):
    [place] = folder.glob(f"sweeps/*/*/*/logs/{cell}.log")
    return place.read_text()


def trains(folder, cell):
    """Whether a cell has left a checkpoint, and goes on to train."""
    return any((folder / "sandbox" / cell / "training").rglob("*epoch_01*"))


def jobs(environ):
    """Numbers of the jobs by their cells, of which they are in the order."""
    numbers = sorted(ask(environ, "squeue", "--noheader", "--array", "--format=%i").split())
    return {f"seed-{number.partition('_')[2]}": number for number in numbers}


@pytest.mark.slow
def test_cancelled_and_requeued_jobs_change_no_number(tmp_path, environ):
    code, told = finish(sweep(tmp_path / "whole", environ))
    assert code == 0, told

    folder = tmp_path / "killed"
    process = sweep(folder, environ, "--on", "slurm")
    try:
        wait_until(lambda: trains(folder, "seed-0") and trains(folder, "seed-1"), PATIENCE_S)
        numbers = jobs(environ)
        ask(environ, "scancel", numbers["seed-0"])
        ask(environ, "scontrol", "requeue", numbers["seed-1"])
        code, told = finish(process)
    finally:
        process.kill()
    assert code == 1, told
    assert "error: cell seed-0 failed" in told
    assert "(CANCELLED)" in log(folder, "seed-0")
    assert log(folder, "seed-1").count("\nterminated; what is done is kept") == 1
    assert results(folder) != results(tmp_path / "whole")

    code, told = finish(sweep(folder, environ, "--on", "slurm"))
    assert code == 0, told
    assert "3 cells, 2 done" in told
    assert results(folder) == results(tmp_path / "whole")
    assert len(results(folder).splitlines()) == 4
