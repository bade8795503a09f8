"""The real command, its cells as jobs of a cluster that is none."""

import os
import re
import signal
import time

import pytest

from tests.sweep import pretend_slurm
from tests.sweep.swept import calls, prepare, start, sweep, table

SWEEP = """\
axes: {go.0_settings.seed: 0..1}
compare: 3_score
resources: {time: 5m}
"""
LONG = "go.0_settings.pause=9"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "box").mkdir()
    programs = pretend_slurm.install(tmp_path / "programs")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PRETEND_SLURM", str(tmp_path / "box"))
    prepare(tmp_path)
    (tmp_path / "sweep.yml").write_text(SWEEP)
    yield tmp_path
    pretend_slurm.end(tmp_path / "box")


def states(text):
    return dict(re.findall(r"^(seed-\S+) +(\w+)", text, re.M))


def begun(folder, process):
    """The sweep's process, as soon as a cell performs a step."""
    while not (folder / "calls.txt").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return process


def test_a_table_of_cells_that_were_jobs(folder):
    result = sweep(folder, "--on=slurm")
    assert (result.returncode, result.stderr) == (0, "")
    assert "submitted 2 jobs to the cluster" in result.stdout
    assert states(result.stdout) == {"seed-0": "done", "seed-1": "done"}
    assert [row.split(",")[1] for row in table(folder).splitlines()] == ["state", "done", "done"]
    assert sorted(call.split()[1] for call in calls(folder)) == ["cells/0-1", "cells/1-1", "shared"]
    again = sweep(folder, "--on=slurm", PATH=os.defpath)
    assert again.returncode == 0 and "2 cells, 2 done" in again.stdout


def test_jobs_outlive_a_sweep_and_are_taken_over_and_cancelled(folder):
    first = begun(folder, start(folder, LONG, "--on=slurm"))
    first.kill()
    first.communicate()
    assert states(sweep(folder, LONG, "--status").stdout) == {
        "seed-0": "running", "seed-1": "running"
    }  # fmt: skip
    squeue = folder / "programs" / "squeue"
    program = squeue.read_text()
    squeue.write_text("#!/bin/sh\necho busy >&2; exit 1\n")
    silent = sweep(folder, LONG, "--status")
    assert silent.returncode == 0 and "running" in states(silent.stdout).values()
    assert "error: Slurm: squeue failed: busy; states are those of the journals" in silent.stderr
    squeue.write_text(program)
    second = start(folder, LONG, "--on=slurm")
    told = ""
    while "have jobs already" not in told:
        line = second.stdout.readline()
        assert line, second.communicate()
        told += line
    second.send_signal(signal.SIGINT)
    out, err = second.communicate()
    assert "2 cells have jobs already, which go on" in told
    assert "cancels 2 jobs" in out
    assert second.returncode == 130 and "the same command goes on" in err
    assert [job["alive"] for job in pretend_slurm.jobs(folder / "box")] == [False, False]
    assert states(sweep(folder, LONG, "--status").stdout) == {
        "seed-0": "missing", "seed-1": "missing"
    }  # fmt: skip


def test_cells_that_ran_with_other_settings_count_as_missing(folder):
    process = begun(folder, start(folder, "go.0_settings.pause=0.5", "--jobs=1"))
    text = (folder / "s.yml").read_text()
    (folder / "s.yml").write_text(text.replace("seed: ${0_settings.seed}", "seed: 7"))
    out, err = process.communicate()
    assert process.returncode == 1
    assert "error: cell seed-1 ran with other settings than those of now" in err
    assert [row.split(",")[1] for row in table(folder).splitlines()] == ["state", "done", "missing"]
    assert states(out) == {"seed-0": "done", "seed-1": "done"}
