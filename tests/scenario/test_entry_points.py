"""Steps and components of another package, installed as an installer does it."""

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from mdir.scenario import step_table
from mdir.stages import StepEntry
from tests.scenario.command import COMMAND, COMPONENT, ENTRY_POINTS, STEPS, TABLE, run

SCENARIO = """\
go:
  1_make: {__function__: tiny.make, loss: {loss: tiny_loss, margin: 1e-1}}
  2_plain: {__function__: tiny.plain, made: "${1_make._output_metadata.made}"}
  3_write: {__function__: tiny.write, path: a.txt, text: "${2_plain._output_metadata.params.made}"}
"""
PROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "tiny"
version = "1.0"
"""


def check(folder, result):
    assert result.returncode == 0, result.stderr
    assert (folder / "root/a.txt").read_text() == "tiny loss with margin 0.1"


def test_found_on_the_path(tmp_path):
    (tmp_path / "s.yml").write_text(SCENARIO)
    check(tmp_path, run("go", "s.yml", folder=tmp_path))


def test_found_after_pip_install(tmp_path):
    source = tmp_path / "source"
    (source / "tiny").mkdir(parents=True)
    (source / "pyproject.toml").write_text(PROJECT + _as_toml(ENTRY_POINTS))
    modules = {"__init__": "", "steps": STEPS, "table": TABLE, "component": COMPONENT}
    for name, text in modules.items():
        (source / "tiny" / f"{name}.py").write_text(text)
    site = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--quiet"]
    options = ["--no-build-isolation", "--target", str(site), str(source)]
    done = subprocess.run([*pip, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"pip cannot build here: {done.stderr.strip().splitlines()[-1:]}")
    (tmp_path / "s.yml").write_text(SCENARIO)
    environ = {**os.environ, "CIRTORCH_ROOT": str(tmp_path / "root"), "PYTHONPATH": str(site)}
    result = subprocess.run(
        [*COMMAND, "go", "s.yml"], cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    check(tmp_path, result)


@pytest.mark.parametrize("name", ["record", "declared"])
def test_a_record_or_attributes_say_what_the_engine_must_know(tmp_path, name):
    text = "go:\n  1_a: {__function__: tiny.%s}\n  2_b: {__function__: tiny.%s, names: x}\n"
    (tmp_path / "s.yml").write_text(text % (name, name))
    for _ in range(2):
        result = run("go", "s.yml", folder=tmp_path, lines="a\nb\n")
        assert ": 2 ran, 0 skipped" in result.stdout, result.stderr
    records = [tmp_path / f"root/journal/s/go/{step}.json" for step in ("1_a", "2_b")]
    data = [json.loads(record.read_text())["metadata"]["data"] for record in records]
    assert data == [[["a", "b"]], []]


def _as_toml(text):
    lines = []
    for line in text.splitlines():
        name, equals, value = line.partition(" = ")
        if equals:
            lines.append(f'"{name}" = "{value}"')
        elif line:
            lines.append(f'[project.entry-points."{line.strip("[]")}"]')
    return "\n".join(lines)


def declared(params, data=()):
    return {}


declared.reads_stdin = "names"
declared.in_every_process = True
RECORD = StepEntry(f"{__name__}:declared", always=True)


@pytest.fixture
def others(monkeypatch):
    """The table of steps with those of another package."""
    places = {"record": "RECORD", "declared": "declared", "plain": "check", "broken": "absent"}
    points = {
        f"other.{name}": EntryPoint(f"other.{name}", f"{__name__}:{place}", step_table.GROUP)
        for name, place in places.items()
    }
    monkeypatch.setattr(step_table, "_external", lambda: points)
    yield points
    step_table.entry.cache_clear()


def test_what_the_engine_knows_of_steps_of_others(others):
    place = f"{__name__}:declared"
    assert step_table.entry("other.record") is RECORD
    assert step_table.entry("other.declared") == StepEntry(place, stdin="names", divided=True)
    assert step_table.entry("other.plain") == StepEntry(f"{__name__}:check")
    assert step_table.entry("other.broken") == StepEntry(f"{__name__}:absent")
    assert step_table.entry("print_scores") is step_table.STEPS["print_scores"]
    assert step_table.load("other.record") is step_table.load("other.declared") is declared


def test_names_of_steps(others):
    assert step_table.names() == sorted([*step_table.STEPS, *others])
    assert step_table.is_known("other.plain") and step_table.is_known("print_scores")
    assert not step_table.is_known("other.plian") and not step_table.is_known(["print_scores"])
    told = "unknown step function 'other.plian'. Did you mean 'other.plain'?"
    assert step_table.unknown("other.plian") == told
    known = f"unknown step function '??'. Known: {', '.join(step_table.names())}"
    assert step_table.unknown("??") == known
