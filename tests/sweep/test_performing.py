"""Cells as processes of this machine, through the real command."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys

import pytest

from tests.conftest import PROJECT
from tests.sweep.swept import (
    CELLS,
    SWEEP,
    calls,
    environment,
    prepare,
    start,
    sweep,
    table,
    words_of,
)


@pytest.fixture
def folder(tmp_path):
    return prepare(tmp_path)


def states(text):
    return dict(re.findall(r"^(seed-\S+) +(\w+)", text, re.M))


def test_a_sweep_makes_common_steps_once_and_a_table_of_all_cells(folder):
    result = sweep(folder, "--jobs=2")
    assert (result.returncode, result.stderr) == (0, "")
    assert states(result.stdout) == dict.fromkeys(CELLS, "done")
    learnt = [call.split()[1] for call in calls(folder)]
    assert sorted(learnt) == ["cells/0-0.5", "cells/0-1", "cells/1-0.5", "cells/1-1", "shared"]
    rows = list(csv.DictReader(io.StringIO(table(folder))))
    assert [(row["cell"], row["state"]) for row in rows] == [(name, "done") for name in CELLS]
    assert [f"seed-{row['seed']}_rate-{row['rate']}" for row in rows] == CELLS
    assert len({row["3_score / city/validation/score_avg:map"] for row in rows}) == 4
    log = (folder / f"root/sweeps/s/go/sweep/logs/{CELLS[3]}.log").read_text()
    assert re.search(r"^-- 1_shared --\nskipped: made in cell seed-\S+, unchanged since", log, re.M)
    record = json.loads((folder / f"root/journal/s+{CELLS[3]}/go/2_learn.json").read_text())
    assert record["command"][-2:] == ["--cell", CELLS[3]]


def test_the_same_command_starts_no_cell_that_is_done_and_a_changed_file_new_ones_only(folder):
    first = sweep(folder, "--jobs=2")
    before, began = table(folder), len(calls(folder))
    again = sweep(folder)
    assert again.returncode == 0 and "4 cells, 4 done, in " in again.stdout
    assert (table(folder), len(calls(folder))) == (before, began)
    assert states(again.stdout) == {} != states(first.stdout)
    (folder / "sweep.yml").write_text(SWEEP.replace("0..1", "0..2"))
    assert states(sweep(folder, "--dry-run").stdout) == {
        **dict.fromkeys(CELLS, "done"),
        **dict.fromkeys(["seed-2_rate-1", "seed-2_rate-0.5"], "missing"),
    }
    more = sweep(folder)
    assert more.returncode == 0 and set(states(more.stdout)) == {"seed-2_rate-1", "seed-2_rate-0.5"}
    assert table(folder).splitlines()[:5] == before.splitlines()
    assert [call.split()[1] for call in calls(folder)[began:]] == ["cells/2-1", "cells/2-0.5"]


def test_a_failed_cell_stops_no_other_and_is_named(folder):
    (folder / "root/fails").mkdir(parents=True)
    (folder / "root/fails/0").touch()
    result = sweep(folder, "--jobs=2")
    assert result.returncode == 1
    expected = dict(zip(CELLS, ["failed", "failed", "done", "done"], strict=True))
    assert states(result.stdout) == expected
    assert states(sweep(folder, "--status").stdout) == expected
    log = f"root/sweeps/s/go/sweep/logs/{CELLS[0]}.log"
    assert f"error: cell {CELLS[0]} failed; see {log}\n" in result.stderr
    assert "step 3_score failed: fails/0 is there" in (folder / log).read_text()
    assert [row.split(",")[1] for row in table(folder).splitlines()[1:]] == list(expected.values())
    (folder / "root/fails/0").unlink()
    again = sweep(folder)
    assert again.returncode == 0 and states(again.stdout) == dict.fromkeys(CELLS[:2], "done")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_own_cells_and_says_how_to_go_on(folder, number):
    process = start(folder, "go.0_settings.pause=9", "--jobs=2")
    begun = dict(zip(CELLS, ["running", "running", "missing", "missing"], strict=True))
    status = {}
    while status != begun and process.poll() is None:
        status = states(sweep(folder, "go.0_settings.pause=9", "--status").stdout)
    assert status == begun
    refused = sweep(folder, "go.0_settings.pause=9")
    assert refused.returncode == 1 and "this sweep runs already (process " in refused.stderr
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert "; what is done is kept, the same command goes on" in err
    status = sweep(folder, "go.0_settings.pause=9", "--status")
    assert states(status.stdout) == dict.fromkeys(CELLS, "missing")


def test_processors_and_cards_are_dealt_out(folder):
    assert (
        sweep(folder, "--jobs=2", CUDA_VISIBLE_DEVICES="4,6", OMP_NUM_THREADS="3").returncode == 0
    )
    given = {tuple(call.split()[2:]) for call in calls(folder)}
    assert given == {("3", "4"), ("3", "6")}


def test_cells_that_wrote_to_one_place_are_no_result(folder):
    """What a step of another package writes is known once it has."""
    text = (folder / "s.yml").read_text().replace("directory: cells/", "directory: cells # ")
    (folder / "s.yml").write_text(text)
    refused = sweep(folder)
    assert refused.returncode == 2
    assert (
        "s.yml:6:5: target go, step 2_learn, key directory: cells seed-0_rate-1 and "
        in refused.stderr
    )
    table_py = folder / "site/swept/table.py"
    table_py.write_text(
        "from mdir.stages import StepEntry\nLEARN = StepEntry('swept.steps:learn', writes=())\n"
    )
    points = folder / "site/swept-1.0.dist-info/entry_points.txt"
    points.write_text(points.read_text().replace("swept.steps:learn", "swept.table:LEARN"))
    result = sweep(folder)
    assert result.returncode == 1
    assert "both wrote" in result.stderr and "${SWEEP_CELL} helps" in result.stderr
    assert ",done," not in table(folder)


def test_a_compared_step_without_numbers(folder):
    """Of a step of another package that is seen once a cell is done: no further one starts."""
    (folder / "sweep.yml").write_text(SWEEP.replace("3_score", "[2_learn, 3_score]"))
    result = sweep(folder)
    message = (
        "error: compare: step 2_learn gave no numbers in 4 of 4 cells that are done, first in "
        "seed-0_rate-1; compare a step that evaluates\n"
    )
    assert (result.returncode, result.stderr) == (1, message)
    assert len({row.split(",")[4] for row in table(folder).splitlines()[1:]}) == 4
    began = len(calls(folder))
    (folder / "sweep.yml").write_text(SWEEP.replace("3_score", "2_learn").replace("0..1", "0..2"))
    refused = sweep(folder)
    assert (refused.returncode, refused.stderr) == (1, message)
    assert len(calls(folder)) == began


CLOSED = """
import sys
import jinja2
from mdir.scenario.cli import main
from mdir.sweep.local import LocalRunner

class Closed:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] in ("mdir", "cirtorch"):
            raise ImportError(f"{name} is gone")

def start_and_close(self, *given, start=LocalRunner.start):
    start(self, *given)
    sys.meta_path.insert(0, Closed())
    jinja2.FileSystemLoader.get_source = None

LocalRunner.start = start_and_close
sys.exit(main(sys.argv[1:]))
"""


def test_nothing_is_loaded_once_cells_run(folder):
    """The checkout may be updated while they do."""
    program = folder / "perform_scenario.py"
    program.write_text(CLOSED)
    paths = f"{folder / 'site'}:{PROJECT}"
    result = subprocess.run(
        [sys.executable, program, *words_of(["--jobs=2"])],
        cwd=folder,
        env=os.environ | environment(folder, PYTHONPATH=paths),
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert (folder / "root/sweeps/s/go/sweep/index.html").exists()


def test_standard_input_is_for_one_run(folder):
    (folder / "s.yml").write_text("go: {1_names: {__function__: swept.names, a: 1}}\n")
    (folder / "sweep.yml").write_text("axes: {go.1_names.a: 0..1}\n")
    result = sweep(folder)
    assert result.returncode == 2
    message = "target go, step 1_names: reads the lines of standard input, which cells of a sweep"
    assert message in result.stderr
