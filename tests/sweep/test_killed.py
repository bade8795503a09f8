"""Cells and the sweep itself are killed at random moments; the table is that of a quiet one."""

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.sweep.swept import CELLS, prepare, start, sweep, table

PAUSE = "go.0_settings.pause=0.05"


@pytest.fixture
def folder(tmp_path):
    yield prepare(tmp_path)
    while any(map(is_there(tmp_path), Path("/proc").glob("[0-9]*"))):
        time.sleep(0.05)  # cells that killed sweeps left


def is_there(folder):
    """Whether a process works in a folder."""

    def check(process):
        with suppress(OSError):
            return (process / "cwd").readlink().is_relative_to(folder)
        return False

    return check


def cells_below(pid):
    """The processes of cells that a sweep started, by the name of the cell."""
    found = {}
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
            if "--cell" in words:
                found[words[words.index("--cell") + 1]] = int(child)
    return found


def kill(process, victims, draws):
    """Kill as told; returns whom: "cell", "sweep" or both, none where no cell ran any more."""
    cells = list(cells_below(process.pid).values())
    if not cells or process.poll() is not None:
        return []
    told = draws.choice(victims)
    if "sweep" in told:
        process.kill()
    if "cell" in told:
        for pid in cells if "sweep" in told else [draws.choice(cells)]:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
    return told


def killed_sweeps(folder, count, draws):
    """Kill so many times; a sweep that comes to its end must have the right table."""
    assert sweep(prepare(folder / "quiet"), PAUSE, "--jobs=2").returncode == 0
    expected, kinds = table(folder / "quiet"), []
    here = prepare(folder / "0")
    while len(kinds) < count:
        process = start(here, PAUSE, "--jobs=2")
        while process.poll() is None and not cells_below(process.pid):
            time.sleep(0.01)
        time.sleep(draws.uniform(0, 1.5))
        told = kill(process, [("cell",), ("sweep",), ("cell", "sweep")], draws)
        kinds += [told] if told else []
        process.communicate()
        if process.returncode == 0:
            assert table(here) == expected
            here = prepare(folder / str(len(kinds)))
        elif "sweep" not in told:
            assert process.returncode == 1
    result = sweep(here, PAUSE, "--jobs=2")
    assert result.returncode == 0, result.stderr
    assert table(here) == expected
    return set(kinds)


def test_a_few_kills(folder):
    killed_sweeps(folder, 3, random.Random(0))


@pytest.mark.slow
def test_a_hundred_kills(folder):
    kinds = killed_sweeps(folder, 100, random.Random(1))
    assert kinds == {("cell",), ("sweep",), ("cell", "sweep")}


def test_a_cell_that_a_killed_sweep_left_is_waited_for(folder):
    process = start(folder, "go.0_settings.pause=0.5", "--jobs=1")
    while process.poll() is None and not (folder / "calls.txt").exists():
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert sweep(folder, "go.0_settings.pause=0.5", "--jobs=4").returncode == 0
    log = (folder / f"root/sweeps/s/go/sweep/logs/{CELLS[0]}.log").read_text()
    assert "waits for the cell's earlier run (process " in log
    learnt = [line.split()[1] for line in (folder / "calls.txt").read_text().splitlines()]
    assert sorted(learnt) == ["cells/0-0.5", "cells/0-1", "cells/1-0.5", "cells/1-1", "shared"]


def test_another_cell_takes_over_a_step_whose_maker_is_killed(folder):
    process = start(folder, "go.0_settings.pause=0.3", "--jobs=2")
    logs = folder / "root/sweeps/s/go/sweep/logs"
    waiting = []
    while process.poll() is None and not waiting:
        waits = "waits for another cell that makes the same (process "
        waiting = [path.stem for path in logs.glob("*.log") if waits in path.read_text()]
    maker = next(pid for name, pid in cells_below(process.pid).items() if name not in waiting)
    os.killpg(maker, signal.SIGKILL)
    process.communicate()
    learnt = [line.split()[1] for line in (folder / "calls.txt").read_text().splitlines()]
    assert (process.returncode, learnt.count("shared")) == (1, 2)
    assert sweep(folder, "go.0_settings.pause=0.3", "--jobs=2").returncode == 0
