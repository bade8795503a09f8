"""Cells and the sweep itself are killed at random moments; the table is that of a quiet one."""

import itertools
import os
import random
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.scenario.command import COMMAND
from tests.sweep.swept import prepare, start, sweep

PAUSE = "go.0_settings.pause=0.05"
TRAININGS = """\
axes: {all.2_train.network.initialize.seed: 0..2}
compare: 3_evaluate
"""
OWN_FOLDERS = [
    "all.2_train.learning.checkpoints.directory=sandbox/${SWEEP_CELL}/training",
    "all.4_report.directory=sandbox/${SWEEP_CELL}/report",
]


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


def cheap(folder):
    """Begin the sweep of cheap steps."""
    if not folder.exists():
        prepare(folder)
    return start(folder, PAUSE, "--jobs=2")


def training(folder):
    """Begin a sweep whose cells draw a city, train on it and evaluate."""
    folder.mkdir(exist_ok=True)
    (folder / "sweep.yml").write_text(TRAININGS)
    return subprocess.Popen(
        [*COMMAND, "sweep", "all", "sandbox.yml", *OWN_FOLDERS, "sweep.yml", "--jobs=2"],
        cwd=folder,
        env=os.environ | {"CIRTORCH_ROOT": str(folder / "root")},
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def numbers(folder):
    [place] = folder.glob("root/sweeps/*/*/sweep/cells.csv")
    return place.read_text()


def ended(process):
    """How long cells of a sweep that comes to its end were running."""
    seen = []
    while process.poll() is None:
        if cells_below(process.pid):
            seen.append(time.monotonic())
        time.sleep(0.01)
    _, err = process.communicate()
    assert process.returncode == 0, err
    return seen[-1] - seen[0] if seen else 0


def killed_sweeps(folder, begin, count, draws):
    """Kill so many times; a sweep that comes to its end must have the right table."""
    longest = ended(begin(folder / "quiet"))
    expected, kinds = numbers(folder / "quiet"), []
    places = (folder / str(number) for number in itertools.count())
    here = next(places)
    while len(kinds) < count:
        process = begin(here)
        while process.poll() is None and not cells_below(process.pid):
            time.sleep(0.01)
        time.sleep(draws.uniform(0, longest))
        told = kill(process, [("cell",), ("sweep",), ("cell", "sweep")], draws)
        kinds += [told] if told else []
        longest *= 1 if told else 0.7  # the end came before the moment
        process.communicate()
        if process.returncode == 0:
            assert numbers(here) == expected
            here = next(places)
        elif "sweep" not in told:
            assert process.returncode == 1
    ended(begin(here))
    assert numbers(here) == expected
    return set(kinds)


def test_a_few_kills(folder):
    killed_sweeps(folder, cheap, 3, random.Random(0))


@pytest.mark.slow
@pytest.mark.parametrize(("begin", "count"), [(cheap, 100), (training, 20)])
def test_many_kills(folder, begin, count):
    kinds = killed_sweeps(folder, begin, count, random.Random(1))
    assert kinds == {("cell",), ("sweep",), ("cell", "sweep")}


def left_by_a_killed_sweep(folder, jobs):
    """Kill a sweep whose cells are held in a step; their processes by name."""
    (folder / "calls.txt.hold").touch()
    process = start(folder, f"--jobs={jobs}")
    left = {}
    while process.poll() is None and not (len(left) == jobs and has_begun(folder, left)):
        left = cells_below(process.pid)
        time.sleep(0.01)
    process.kill()
    process.communicate()
    return left


def has_begun(folder, names):
    """Whether each cell has come to its first step that takes time."""
    return all("-- 1_shared --" in log_of(folder, name).read_text() for name in names)


def log_of(folder, name):
    return folder / f"root/sweeps/s/go/sweep/logs/{name}.log"


def test_a_cell_that_a_killed_sweep_left_is_waited_for(folder):
    [(name, pid)] = left_by_a_killed_sweep(folder, 1).items()
    by = rf"\(process {pid} on \S+ since [\d-]+ [\d:.]+\)"
    status = sweep(folder, "--status").stdout
    assert re.search(rf"^{name} +running .*, without a sweep {by}", status, re.M)
    process = start(folder, "--jobs=4")
    waits = "waits for the cell's earlier run (process "
    while process.poll() is None and waits not in log_of(folder, name).read_text():
        time.sleep(0.01)
    (folder / "calls.txt.hold").unlink()
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert re.search(rf"^cell {name} runs already {by}; this sweep waits for it$", out, re.M)
    told = re.findall(rf"^(\S+) +running .*, begun before this sweep {by}", out, re.M)
    assert set(told) == {name}
    learnt = [line.split()[1] for line in (folder / "calls.txt").read_text().splitlines()]
    assert sorted(learnt) == ["cells/0-0.5", "cells/0-1", "cells/1-0.5", "cells/1-1", "shared"]


def test_an_interrupt_ends_what_a_killed_sweep_left(folder):
    left = left_by_a_killed_sweep(folder, 2)
    process = start(folder, "--jobs=1")  # which does not come to the second one
    while process.poll() is None and not cells_below(process.pid):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130 and "still runs" not in err
    assert set(states(sweep(folder, "--status").stdout)) == {"missing"}
    for name in left:
        assert "terminated; what is done is kept" in log_of(folder, name).read_text()


def states(text):
    return re.findall(r"^seed-\S+ +(\w+)", text, re.M)


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
