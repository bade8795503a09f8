"""What a cell takes over of a step that another one made, or began."""

import json

import pytest

from mdir.scenario.checks import check_scenario_level
from mdir.scenario.failures import StepFailed
from mdir.scenario.journal import Journal
from mdir.scenario.plan import load_scenario
from mdir.scenario.runner import perform
from tests.sweep.swept import known, prepare

SCENARIO = """\
go:
  1_learn: {__function__: swept.learn, directory: shared}
  2_print_scores: {__function__: print_scores, metadata: {}}
"""


@pytest.fixture
def cell(root, tmp_path, monkeypatch):
    """``cell(name, *words)``: run a cell; what was said of its step, and the journal."""
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls.txt"))
    (tmp_path / "s.yml").write_text(SCENARIO)

    def run(name, *words, functions=None):
        plan = check_scenario_level(load_scenario(["s.yml", *words], cell=name), "go")
        journal, said = Journal(plan.scenario.journal_name, "go"), []
        try:
            perform(plan, functions, journal, say=said.append)
        except StepFailed:
            return said, journal
        return said[: said.index("-- 2_print_scores --")], journal

    with known(tmp_path / "site"):
        yield run


def test_what_is_made_is_skipped_elsewhere_until_it_changes(cell, root):
    assert cell("a")[0] == ["-- 1_learn --"]
    said, journal = cell("b")
    assert [line.partition(" since ")[0] for line in said] == [
        "-- 1_learn --",
        "skipped: made in cell a, unchanged",
    ]
    assert journal.read("1_learn") == Journal("s+a", "go").read("1_learn")
    assert cell("b")[0][1].startswith("skipped: unchanged since ")
    (root / "shared/3.json").unlink()
    assert cell("c")[0][1:] == [
        f"runs again: begun in cell a, output missing: {root}/shared/3.json"
    ]
    assert cell("a")[0][1].startswith("skipped: unchanged since ")  # it is the same again
    assert len((root.parent / "calls.txt").read_text().splitlines()) == 2
    assert len(list((root / "sweeps/steps").glob("*.lock"))) == 0


def test_other_parameters_are_another_step(cell):
    cell("a")
    assert cell("b", "go.1_learn.seed=1")[0] == ["-- 1_learn --"]
    said = cell("a", "go.1_learn.seed=1")[0]
    assert said[1].startswith("skipped: made in cell b, unchanged since ")


def test_what_another_cell_began_goes_on_as_its_own(cell, root):
    def fails(params, data):
        from mdir.artifacts import begun, used

        (root / "read.txt").write_text("x")
        used(root / "read.txt")
        begun(root / "shared")
        raise ValueError("stopped")

    cell("a", functions={"swept.learn": fails})
    (root / "read.txt").write_text("xy")
    seen = {}

    def goes_on(params, data):
        from mdir.artifacts import changed_input, made_before

        seen.update(changed=changed_input(), made=made_before(root / "shared"))
        return {}

    said, _ = cell("b", functions={"swept.learn": goes_on})
    assert said[1:] == ["runs again: begun in cell a, it did not finish last time (failed)"]
    assert seen == {"changed": f"input changed: {root}/read.txt", "made": True}


@pytest.mark.parametrize("text", ["[", "{}", '{"cell": 3}', '{"cell": "a"}'])
def test_a_damaged_record_is_none(cell, root, text):
    cell("a")
    (known_step,) = (root / "sweeps/steps").glob("*.json")
    assert json.loads(known_step.read_text())["cell"] == "a"
    known_step.write_text(text)
    assert cell("b")[0] == ["-- 1_learn --"]


def test_a_run_that_is_no_cell_shares_nothing(cell, root):
    cell("a")
    assert cell(None)[0] == ["-- 1_learn --"]
    assert len(list((root / "sweeps/steps").iterdir())) == 1
