"""Cells as jobs of a cluster that is none: what is submitted, taken over, cancelled, and told."""

import os
import pickle
import signal
import sys
import time
from pathlib import Path

import pytest

from cirtorch.utils.errors import DamagedFile
from mdir.errors import UserError
from mdir.sweep import cluster, slurm
from mdir.sweep.cells import Cell
from mdir.sweep.resources import Resources
from mdir.sweep.slurm import SlurmRunner, cluster_states, parameters
from tests.conftest import PROJECT
from tests.sweep import pretend_slurm

RESOURCES = Resources(time=60)
PATIENCE_S = 60


@pytest.fixture(autouse=True)
def box(tmp_path, monkeypatch):
    """The folder in which the pretended cluster keeps its records."""
    place = tmp_path / "box"
    place.mkdir()
    programs = pretend_slurm.install(tmp_path / "programs")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PRETEND_SLURM", str(place))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name, seconds in (("LOOK_S", 0.05), ("ASK_S", 0.2), ("LATE_S", 0.3)):
        monkeypatch.setattr(slurm, name, seconds)
    yield place
    pretend_slurm.end(place)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "sweeps" / "a sweep"


@pytest.fixture
def make(folder):
    """Cells by their programs."""

    def cells(*programs):
        return [
            Cell(f"cell-{n}", {"n": n}, [], [sys.executable, "-c", program], folder / f"{n}.log")
            for n, program in enumerate(programs)
        ]

    return cells


@pytest.fixture
def hold(box):
    """Jobs that run on until they are ended."""
    (box / "hold").touch()


def wait(runner, *states):
    """The states of all cells as soon as they are among those given."""
    until = time.monotonic() + PATIENCE_S
    while not set((found := runner.states()).values()) <= set(states):
        assert time.monotonic() < until, found
        time.sleep(0.05)
    return found


def look_on(runner, seconds=0.7):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        states = runner.states()
        time.sleep(0.05)
    return states


def started(cells, folder, **options):
    runner = SlurmRunner(**options)
    runner.start(cells, RESOURCES, folder)
    return runner


def submissions(box):
    return [line for line in (box / "calls").read_text().splitlines() if line.startswith("sbatch")]


def alive(box):
    return [job["alive"] for job in pretend_slurm.jobs(box)]


def batches(folder):
    return [place["batch"] for place in slurm.read_places(folder / "slurm").values()]


def test_cells_run_as_an_array_and_tell_how_they_ended(box, folder, make, capsys):
    cells = make("print('well')", "import sys; sys.exit('badly')")
    runner = SlurmRunner()
    runner.start(cells, Resources(5, "300M", partition="gpu"), folder)
    assert set(runner.states().values()) <= {"waiting", "running"}
    assert wait(runner, "done", "failed") == {"cell-0": "done", "cell-1": "failed"}
    assert [cell.log.read_text() for cell in cells] == ["well\n", "badly\n"]
    assert len(submissions(box)) == 1
    assert capsys.readouterr().out == "submitted 2 jobs to the cluster\n"
    [script] = folder.glob("slurm/*/1_submission.sh")
    asked = {line for line in script.read_text().splitlines() if line.startswith("#SBATCH")}
    wanted = {"time=5", "mem=300M", "partition=gpu", "requeue", "signal=USR2@90", "array=0-1%2"}
    assert {f"#SBATCH --{each}" for each in wanted} <= asked


def test_a_single_cell_is_no_array(box, folder, make):
    assert wait(started(make("print(1)"), folder), "done") == {"cell-0": "done"}
    assert [job["id"] for job in pretend_slurm.jobs(box)] == ["1"]


@pytest.mark.usefixtures("hold")
def test_no_more_cells_in_an_array_than_the_cluster_takes(box, folder, make):
    wait(started(make(*"abcd"), folder, jobs=2), "running")
    scripts = [path.read_text() for path in folder.glob("slurm/*/*_submission.sh")]
    arrays = [line for text in scripts for line in text.splitlines() if "--array" in line]
    assert arrays == ["#SBATCH --array=0-2%1"]
    assert sorted(job["id"] for job in pretend_slurm.jobs(box)) == ["1_0", "1_1", "1_2", "2"]


@pytest.mark.usefixtures("hold")
def test_a_later_sweep_takes_over_the_jobs_of_an_earlier_one(box, folder, make, capsys):
    cells = make(*"abc")
    wait(started(cells[:2], folder), "running")
    assert cluster_states(cells, folder) == {"cell-0": "running", "cell-1": "running"}
    runner = started(cells, folder)
    assert set(wait(runner, "running")) == {"cell-0", "cell-1", "cell-2"}
    assert len(submissions(box)) == 2
    assert "2 cells have jobs already, which go on\nsubmitted 1 jobs" in capsys.readouterr().out
    os.killpg(pretend_slurm.jobs(box)[0]["pid"], signal.SIGKILL)
    while runner.states()["cell-0"] != "failed":
        time.sleep(0.05)
    assert runner.states() == {"cell-0": "failed", "cell-1": "running", "cell-2": "running"}
    wait(started(cells[:1], folder), "running")
    assert len(submissions(box)) == 3


@pytest.fixture
def interrupted(monkeypatch):
    """A sweep that is interrupted when the cluster has just taken its jobs."""
    submit = slurm.submit

    def interrupt(*given):
        submit(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(slurm, "submit", interrupt)


@pytest.mark.usefixtures("hold", "interrupted")
def test_a_sweep_that_was_killed_while_it_submitted_finds_its_jobs(folder, make, monkeypatch):
    """It never learned the jobs' numbers: they are found by their name."""
    cells = make("a")
    monkeypatch.setattr(SlurmRunner, "stop", lambda runner: None)
    with pytest.raises(KeyboardInterrupt):
        started(cells, folder)
    assert cluster_states(cells, folder) == {"cell-0": "running"}
    assert wait(started(cells, folder), "running") == {"cell-0": "running"}


@pytest.mark.usefixtures("hold", "interrupted")
def test_interrupted_while_it_submits(box, folder, make):
    with pytest.raises(KeyboardInterrupt):
        started(make(*"ab"), folder)
    assert alive(box) == [False, False]


@pytest.mark.usefixtures("hold")
def test_jobs_with_another_command_are_replaced(box, folder, make, capsys):
    wait(started(make("a"), folder), "running")
    wait(started(make("b"), folder), "running")
    assert "cancels 1 jobs with other settings" in capsys.readouterr().out
    assert alive(box) == [False, True]


@pytest.mark.usefixtures("hold")
def test_stop_cancels_the_own_jobs_alone(box, folder, make):
    cells = make(*"ab")
    wait(started(cells, folder), "running")
    started(cells[:1], folder).stop()
    assert alive(box) == [False, True]
    assert cluster_states(cells, folder) == {"cell-1": "running"}
    assert [*slurm.read_places(folder / "slurm")] == ["cell-1"]


@pytest.mark.usefixtures("hold")
def test_jobs_that_do_not_end_stay_known_and_are_told(folder, make, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(slurm, "STOPPING_S", 0.3)
    runner = started(make("a"), folder)
    wait(runner, "running")
    (tmp_path / "programs" / "scancel").write_text("#!/bin/sh\nexit 1\n")
    runner.stop()
    assert capsys.readouterr().err == "these jobs do not end, scancel may help: 1\n"
    assert [*slurm.read_places(folder / "slurm")] == ["cell-0"]


def test_a_job_that_ends_without_a_word_has_failed(folder, make):
    cells = make("print(1)")
    runner = SlurmRunner()
    runner.start(cells, Resources(time=60, setup=("echo no module", "exit 3")), folder)
    assert wait(runner, "failed") == {"cell-0": "failed"}
    told = cells[0].log.read_text()
    assert told.startswith("-- the cluster ended job 1 (COMPLETED); the job's own output: /")
    output = Path(told.split(": ")[1].removesuffix(" --\n"))
    assert output.read_text() == "no module\n"


def test_a_job_that_gave_up_says_why(box, folder, make):
    """As submitit tells of too many time-outs."""
    cells = make("print(1)")
    (box / "hold").touch()
    runner = started(cells, folder)
    words = (
        "Traceback\n  there\nsubmitit.core.utils.UncompletedJobError: timed-out too many times\n"
    )
    result = folder / "slurm" / batches(folder)[0] / "1_0_result.pkl"
    result.write_bytes(pickle.dumps(("error", words)))
    assert wait(runner, "failed") == {"cell-0": "failed"}
    assert "-- job 1 gave up: " in cells[0].log.read_text()
    assert "UncompletedJobError: timed-out too many times; the job's" in cells[0].log.read_text()


def test_refused_jobs(box, folder, make):
    (box / "refuse").write_text("sbatch: error: Memory specification can not be satisfied")
    with pytest.raises(UserError, match="refused the jobs: .*Memory specification can not be"):
        started(make("print(1)"), folder)
    assert slurm.read_places(folder / "slurm") == {}


@pytest.mark.usefixtures("hold")
def test_jobs_that_never_begin_end_the_sweep(box, folder, make):
    runner = started(make("a"), folder)
    (box / "queue").write_text(f"1|N/A|PENDING|PartitionTimeLimit|{batches(folder)[0]}\n")
    with pytest.raises(UserError, match=r"never starts job 1 \(PartitionTimeLimit\)"):
        wait(runner, "done")


@pytest.mark.usefixtures("hold")
def test_what_waits_and_what_makes_room_is_not_over(box, folder, make):
    runner = started(make(*"ab"), folder)
    batch = batches(folder)[0]
    rows = f"1_0|0|PENDING|BeginTime|{batch}\n1_1|1|COMPLETING|None|{batch}\n"
    (box / "queue").write_text(rows)
    assert look_on(runner) == {"cell-0": "waiting", "cell-1": "running"}


def test_resources_as_the_cluster_wants_them():
    given = Resources(720, "16G", 4, 2, "gpu", ("module load cuda",))
    assert parameters(given, "name", 8) == {
        "job_name": "name",
        "time": 720,
        "signal_delay_s": 90,
        "mem": "16G",
        "cpus_per_task": 4,
        "srun_args": ["--cpus-per-task=4"],
        "gpus_per_node": 2,
        "partition": "gpu",
        "setup": [
            f"export PYTHONPATH={PROJECT}${{PYTHONPATH:+:$PYTHONPATH}}",
            "export OMP_NUM_THREADS=4",
            "module load cuda",
        ],
        "array_parallelism": 8,
        "stderr_to_stdout": True,
        "additional_parameters": {"requeue": True},
    }
    least = parameters(Resources(time=1, gpus=0), "name", 1)
    assert least["signal_delay_s"] == 30
    assert not least.keys() & {"mem", "cpus_per_task", "srun_args", "gpus_per_node", "partition"}


@pytest.mark.parametrize(
    "resources, message",
    [
        (Resources(), "needs resources.time in the sweep file"),
        (Resources(time=5, partition="gpuu"), "no partition 'gpuu'. Did you mean 'gpu'"),
        (Resources(time=5, partition="x"), "no partition 'x'. Partitions: gpu, main"),
    ],
)
def test_resources_that_cannot_be(box, folder, make, resources, message):
    with pytest.raises(UserError, match=message):
        SlurmRunner().start(make("print(1)"), resources, folder)
    assert not pretend_slurm.jobs(box)


def test_without_slurm(folder, make, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="not on the path: sbatch, srun, squeue, scancel"):
        started(make("print(1)"), folder)


def test_without_submitit(folder, make, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match="needs the package submitit .extra 'slurm'"):
        started(make("print(1)"), folder)


def test_nothing_to_do_needs_no_cluster(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert started([], folder).states() == {}


def test_a_cluster_that_does_not_answer(folder, make, tmp_path):
    program = tmp_path / "programs" / "sinfo"
    program.write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2; exit 1\n")
    with pytest.raises(UserError, match="sinfo failed: Unable to contact slurm controller"):
        started(make("print(1)"), folder)


@pytest.mark.usefixtures("hold")
def test_a_queue_that_is_silent_for_a_while_changes_nothing(folder, make, tmp_path):
    runner = started(make("a"), folder)
    wait(runner, "running")
    (tmp_path / "programs" / "squeue").write_text("#!/bin/sh\nexit 1\n")
    assert look_on(runner) == {"cell-0": "running"}


def test_folders_that_slurm_or_locks_cannot_do_with(folder, make, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="a % in a path"):
        started(make("print(1)"), tmp_path / "100%")
    monkeypatch.setattr(slurm, "why_not_shared", lambda place: "this file system knows no locks")
    with pytest.raises(UserError, match="knows no locks; cells on several machines"):
        started(make("print(1)"), folder)


def test_damaged_records(folder, make):
    (folder / "slurm").mkdir(parents=True)
    (folder / "slurm" / "jobs.json").write_text('{"cell-0": {"batch": 3}}')
    with pytest.raises(DamagedFile, match=r"jobs.json: not what was written; remove it"):
        started(make("print(1)"), folder)


def test_largest_array_where_the_cluster_does_not_say(monkeypatch):
    monkeypatch.setattr(cluster, "call", lambda *command: "")
    assert cluster.most_in_array() == cluster.USUAL_MOST_IN_ARRAY
