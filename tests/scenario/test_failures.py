"""A step that fails, an interrupted and a terminated run: exit codes and what is said."""

import json
import os
import re
import signal
import time

import pytest

from mdir.scenario.failures import message_of
from tests.scenario.command import run, start

SCENARIO = """\
go:
  1_write: {__function__: tiny.write, path: a.txt}
  2_fail: {__function__: tiny.fail, kind: user}
  3_never: {__function__: tiny.write, path: c.txt}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "s.yml").write_text(SCENARIO)
    return tmp_path


def fail(folder, kind, *args):
    result = run("go", "s.yml", f"go.2_fail.kind={kind}", *args, folder=folder)
    assert "-- 2_fail --" in result.stdout
    assert "-- 3_never --" not in result.stdout
    assert (folder / "root/a.txt").exists()
    return result


def status(folder):
    return json.loads((folder / "root/journal/s/go/2_fail.json").read_text())["status"]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("user", "the list places.txt is empty"),
        ("disk", "/full/file: No space left on device"),
    ],
)
def test_mistakes_of_the_user_and_the_system(folder, kind, message):
    result = fail(folder, kind)
    assert (result.returncode, result.stderr) == (1, f"error: step 2_fail failed: {message}\n")
    assert status(folder) == "failed"
    again = run("go", "s.yml", folder=folder)
    assert re.search("-- 1_write --\nskipped: ", again.stdout)
    assert "-- 2_fail --\nruns again: it did not finish last time (failed)\n" in again.stdout


def test_mistakes_of_ours(folder):
    result = fail(folder, "bug")
    assert result.returncode == 1
    assert re.fullmatch(
        r"error: step 2_fail failed: TypeError: .* at mdir/artifacts.py:\d+ "
        r"\(--traceback shows all\)\n",
        result.stderr,
    )
    result = fail(folder, "bug", "--traceback")
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    assert result.stderr.endswith("(--traceback shows all)\n")


@pytest.mark.parametrize(("kind", "code"), [("interrupt", 130), ("terminate", 143)])
def test_signals(folder, kind, code):
    result = fail(folder, kind)
    assert result.returncode == code
    assert result.stderr.count("\n") == 1
    assert "what is done is kept" in result.stderr
    assert status(folder) == "interrupted"


def test_killed(folder):
    process = start("go", "s.yml", "go.2_fail.kind=sleep", folder=folder)
    while process.stdout.readline() != "-- 2_fail --\n":
        pass
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    result = run("go", "s.yml", folder=folder)
    assert "runs again: it did not finish last time (running)" in result.stdout


def test_a_root_that_cannot_be_written(folder):
    (folder / "root").write_text("a file stands where the folder should be")
    result = run("go", "s.yml", folder=folder)
    assert result.returncode == 1
    assert result.stderr == (f"error: {folder}/root/journal/s/go/scenario.yml: Not a directory\n")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "out of memory"),
        (MemoryError("std::bad_alloc"), "out of memory (std::bad_alloc)"),
        (ValueError(), "ValueError: no message"),
        (ValueError("two\n lines"), "ValueError: two lines"),
    ],
)
def test_words_for_what_nobody_expected(error, message):
    assert message_of(error) == f"{message} (--traceback shows all)"
