"""What a job does for a cell, in submitit's own executors."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from submitit.core.utils import FailedJobError
from submitit.local.debug import DebugExecutor
from submitit.local.local import LocalExecutor

from mdir.sweep.cell_job import CellJob
from tests.conftest import PROJECT

pytestmark = [  # submitit leaves files of its own open
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TWICE = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
if pathlib.Path("again").exists():
    sys.exit(print("second time"))
pathlib.Path("again").touch()
print("first time", flush=True)
time.sleep(0.3)
os.kill(os.getppid(), signal.SIGUSR2)
time.sleep(60)
"""
HALF_DONE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
print("begun", flush=True)
time.sleep(60)
"""


def python(program):
    return [sys.executable, "-c", program]


def perform(program, tmp_path):
    job = DebugExecutor(tmp_path).submit(CellJob(python(program), tmp_path / "logs" / "cell.log"))
    return job.result(), (tmp_path / "logs" / "cell.log").read_text()


def test_exit_code_and_all_that_is_printed(tmp_path):
    program = "import sys; print('some', flush=True); sys.exit('failing')"
    assert perform(program, tmp_path) == (1, "some\nfailing\n")
    assert perform("print('again')", tmp_path) == (0, "some\nfailing\nagain\n")


def test_standard_input_is_empty(tmp_path):
    assert perform("print(repr(input()))", tmp_path)[0] == 1


def test_words_of_the_cluster_do_not_end_the_command(tmp_path):
    program = "import os; os.kill(os.getpid(), {}); os.kill(os.getpid(), {}); print('alive')"
    program = program.format(signal.SIGUSR1, signal.SIGUSR2)
    assert perform(program, tmp_path) == (0, "alive\n")


def test_a_command_that_somebody_else_ends_has_failed(tmp_path):
    program = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    told = "-- ended by SIGTERM, perhaps for want of memory --\n"
    assert perform(program, tmp_path) == (-signal.SIGTERM, told)


def timed(tmp_path, most):
    """A job that is told that its time is up; less than ten minutes count as such an end."""
    executor = LocalExecutor(tmp_path, max_num_timeout=most)
    executor.update_parameters(timeout_min=1, stderr_to_stdout=True)
    return executor.submit(CellJob(python(TWICE), tmp_path / "cell.log"))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))


@pytest.mark.usefixtures("here")
def test_time_out_ends_the_command_in_order_and_begins_it_again(tmp_path):
    assert timed(tmp_path, most=1).result() == 0
    assert (tmp_path / "cell.log").read_text() == "first time\ntold to end\nsecond time\n"


@pytest.mark.usefixtures("here")
def test_too_many_time_outs_are_an_error(tmp_path):
    error = timed(tmp_path, most=0).exception()
    assert isinstance(error, FailedJobError)
    assert "timed-out too many times" in str(error)
    assert (tmp_path / "cell.log").read_text() == "first time\ntold to end\n"


def test_a_job_that_is_told_to_end_leaves_no_result(tmp_path):
    """It may be cancelled, or give way to others: then it begins again."""
    log, result = tmp_path / "cell.log", tmp_path / "result"
    program = (
        "import pathlib; from mdir.sweep.cell_job import CellJob;"
        f"code = CellJob({python(HALF_DONE)}, {str(log)!r})();"
        f"pathlib.Path({str(result)!r}).write_text(str(code))"
    )
    process = subprocess.Popen(python(program), cwd=PROJECT)
    try:
        while not (log.exists() and log.read_text()):
            time.sleep(0.05)
        process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if children.exists():
            assert children.read_text().strip() == ""
        assert not result.exists()
    finally:
        process.kill()
        process.wait()
