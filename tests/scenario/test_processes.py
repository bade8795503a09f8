"""Several processes of one launch: the first decides and writes, the others follow."""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mdir.errors import UserError
from mdir.scenario import cli
from mdir.scenario.failures import StepFailed, Terminated
from mdir.scenario.processes import Processes
from tests.scenario.command import STEPS, install, run, start

SCENARIO = """\
go:
  1_write: {__function__: tiny.write, path: a.txt, text: one}
  2_all: {__function__: tiny.everywhere, path: "${1_write._output_metadata.path}"}
  3_lines: {__function__: tiny.lines}
"""
EVERYWHERE = """
from mdir.stages import StepEntry

def everywhere(params, data=()):
    rank = os.environ["RANK"]
    Path(resolve_path(f"rank{rank}.txt")).write_text(params["path"])
    return {"rank": rank}


EVERYWHERE = StepEntry("more:everywhere", divided=True)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "s.yml").write_text(SCENARIO)
    (tmp_path / "root").mkdir()
    site = install(tmp_path / "site")
    (site / "more.py").write_text(STEPS + EVERYWHERE)
    info = site / "more-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: more\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mdir.steps]\ntiny.everywhere = more:EVERYWHERE\n")
    return tmp_path


def launch(folder, delays=(0, 0), lines="a\nb\n"):
    processes = []
    for rank, delay in enumerate(delays):
        time.sleep(delay)
        environ = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        processes.append(start("go", "s.yml", folder=folder, environ=environ, stdin=-1))
    results = [process.communicate(lines) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    return results


@pytest.mark.parametrize("delays", [(0, 0), (0, 3)])
def test_work_is_done_where_it_belongs(folder, delays):
    (out, _), (silent, _) = launch(folder, delays)
    assert silent == ""
    assert ": 3 ran, 0 skipped" in out
    written = [(folder / f"root/rank{rank}.txt").read_text() for rank in (0, 1)]
    assert written == [f"{folder}/root/a.txt"] * 2
    record = json.loads((folder / "root/journal/s/go/2_all.json").read_text())
    assert record["metadata"] == {"rank": "0"}
    (out, _), (silent, _) = launch(folder, delays)
    assert ": 0 ran, 3 skipped" in out
    assert silent == ""


def test_a_bad_scenario_is_reported_once(folder):
    (folder / "s.yml").write_text("go:\n  1_a: {__function__: absent}\n")
    for rank, lines in ((0, 2), (1, 0)):
        environ = {"RANK": str(rank), "WORLD_SIZE": "2"}
        result = run("go", "s.yml", folder=folder, environ=environ)
        assert result.returncode == 2
        assert len(result.stderr.splitlines()) == lines


@pytest.fixture
def both(monkeypatch, tmp_path):
    """The two processes of a launch, both in this one."""
    found = []
    for rank in (0, 1):
        for key, value in (("RANK", rank), ("WORLD_SIZE", 2), ("MASTER_PORT", 1234)):
            monkeypatch.setenv(key, str(value))
        found.append(Processes())
        found[-1].meet(str(tmp_path))
    return found


def test_the_first_broadcasts_its_values(both):
    first, second = both
    assert (first.is_first, second.is_first) == (True, False)
    assert first.broadcast("1_a/b.result", {"x": [1]}) == {"x": [1]}
    assert second.broadcast("1_a/b.result", "ignored") == {"x": [1]}
    assert Path(first.folder, "1_a%2fb.result.json").read_text() == '{"x": [1]}'


def test_nobody_waits_for_a_process_that_failed(both):
    first, second = both
    assert first.fails()
    assert not second.fails()
    with pytest.raises(UserError, match="^another process of this launch failed$"):
        second.broadcast("never")


def test_a_process_that_was_killed_is_named_with_its_end(both):
    first, second = both
    victim = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    place = Path(second.folder, "rank-1")
    place.write_text(json.dumps([socket.gethostname(), victim.pid]))
    assert first.lost() is None
    victim.kill()
    os.waitid(os.P_PID, victim.pid, os.WEXITED | os.WNOWAIT)
    about = f"process 2 of 2 (rank 1, pid {victim.pid})"
    assert first.lost().startswith(f"{about} was ended by SIGKILL, perhaps for want of memory; ")
    victim.communicate()
    assert first.lost().startswith(f"{about} is gone: it was killed")
    place.write_text(json.dumps(["elsewhere", victim.pid]))
    assert first.lost() is None


def test_a_process_that_was_terminated_is_named_where_an_exchange_failed(both):
    first, second = both
    assert first.lost(terminated=True) is None
    second.tell_terminated()
    assert first.lost() is None  # a launcher ends all
    assert first.missed().startswith("process 2 of 2 (rank 1) was ended by SIGTERM; what is done")


def test_a_process_that_tells_of_its_failure_itself_is_not_missed(both):
    first, second = both
    assert second.fails()
    assert first.missed() is None


def test_nobody_waits_for_a_process_that_was_killed(both):
    first, second = both
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    Path(first.folder, "rank-0").write_text(json.dumps([socket.gethostname(), gone.pid]))
    with pytest.raises(UserError, match=rf"process 1 of 2 \(rank 0, pid {gone.pid}\) is gone"):
        second.broadcast("never")


def test_a_process_that_has_done_its_part_is_not_missed(both):
    first, second = both
    second.leave()
    assert first.lost() is None
    first.leave()  # a next launch must not find it
    assert os.listdir(first.folder) == ["rank-1"]


def test_a_process_alone_broadcasts_to_itself(monkeypatch, tmp_path):
    for key in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(key, raising=False)
    alone = Processes()
    alone.meet(str(tmp_path))
    assert alone.broadcast("name", 1) == 1
    assert alone.fails()
    assert not list(tmp_path.iterdir())


@pytest.fixture
def ended(monkeypatch, capsys):
    """``ended(processes, error)``: exit code and message of a command that ends by an error."""

    def end(processes, error):
        def fail(options, arguments):
            raise error

        monkeypatch.setitem(cli.COMMANDS, "list", fail)
        options = argparse.Namespace(traceback=False, processes=processes)
        return cli._main(options, ["list", "s.yml"]), capsys.readouterr().err

    return end


def failed_exchange(step):
    error = StepFailed(step, "the connection was closed")
    error.__cause__ = RuntimeError("the connection was closed")
    return error


GOES_ON = "what is done is kept, the same command goes on\n"


def test_the_first_alone_says_that_the_launch_was_terminated(both, ended):
    first, second = both
    assert ended(second, Terminated()) == (143, "")
    assert ended(first, Terminated()) == (143, f"terminated; {GOES_ON}")
    assert json.loads(Path(first.folder, "rank-0").read_text()) == "SIGTERM"


def test_a_process_that_is_missed_is_named_by_one_of_those_that_end(both, ended):
    first, second = both
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    Path(second.folder, "rank-1").write_text(json.dumps([socket.gethostname(), gone.pid]))
    end = f"process 2 of 2 (rank 1, pid {gone.pid}) is gone: it was killed, perhaps for want of"
    assert ended(first, Terminated()) == (143, f"error: {end} memory; {GOES_ON}")
    assert ended(second, Terminated()) == (143, "")


def test_an_exchange_that_failed_names_the_process_that_was_missed(both, ended):
    first, second = both
    second.tell_terminated()
    lost = "process 2 of 2 (rank 1) was ended by SIGTERM"
    assert ended(first, failed_exchange("1_a")) == (1, f"error: step 1_a failed: {lost}; {GOES_ON}")
    assert ended(second, failed_exchange("1_a")) == (1, "")


def test_other_ends_of_a_process_alone(monkeypatch, ended):
    for key in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(key, raising=False)
    alone = Processes()
    assert ended(alone, KeyboardInterrupt()) == (130, f"interrupted; {GOES_ON}")
    assert ended(alone, UserError("the list is empty")) == (1, "error: the list is empty\n")
    told = "error: step 1_a failed: the connection was closed\n"
    assert ended(alone, failed_exchange("1_a")) == (1, told)


def test_a_launch_has_a_folder_of_its_own(monkeypatch, tmp_path):
    keys = {"RUN_ID": "run/7", "RESTART_COUNT": "2"}
    for key, value in keys.items():
        monkeypatch.setenv(f"TORCHELASTIC_{key}", value)
    for key, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_PORT": "1234"}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)

    def folder():
        processes = Processes()
        processes.meet(str(tmp_path))
        return processes.folder

    assert folder() == f"{tmp_path}/.launches/run_7-2-1234"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert folder() == f"{tmp_path}/.launches/run_7-2-1234-{os.getppid()}"
    for key in (*(f"TORCHELASTIC_{key}" for key in keys), "MASTER_PORT", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(key)
    assert folder() == f"{tmp_path}/.launches/0-0-0"
