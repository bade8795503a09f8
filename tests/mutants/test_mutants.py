"""The command that tests mutants still works: it finds tests by line, and they kill."""

import json

import pytest

from tests.conftest import PROJECT

pytest.importorskip("mutmut")
FILE = "mdir/scenario/plan.py"
HEAD = "def load_scenario(args: list[str], collect: bool = False) -> Scenario:"
LINE = "    if scenario.problems and not collect:"
TEST = "tests/scenario/test_sources.py::test_bad_arguments"


@pytest.mark.slow
def test_bad_mutants_are_killed_by_tests_that_come_to_their_lines(tmp_path):
    from tests.mutants.__main__ import main

    lines = (PROJECT / FILE).read_text().splitlines()
    numbers = [str(lines.index(line) + 1) for line in (HEAD, LINE)]
    assert main([FILE, "--lines", *numbers, "--measure", TEST], tmp_path) == 0

    results = [json.loads(each) for each in (tmp_path / "results.jsonl").read_text().splitlines()]
    found = {each["diff"].splitlines()[1]: each for each in results}
    outcomes = {line: each["outcome"] for line, each in found.items()}
    assert outcomes == {
        "+" + HEAD.replace("False", "True"): "killed",
        "+" + LINE.replace("not ", ""): "killed",
        "+" + LINE.replace("and", "or"): "survived",  # no test of a sound scenario was measured
    }
    assert found["+" + LINE.replace("not ", "")]["test"].startswith(TEST)
