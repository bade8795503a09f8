"""The sweeps that are shipped fit the scenarios that they name."""

import re

import pytest

from tests.conftest import PROJECT
from tests.scenario.command import run_here

SWEEPS = sorted((PROJECT / "scenarios" / "sweeps").glob("*.yml"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_all_cells_are_sound(path, tmp_path):
    words = re.search(r"^# +python3 perform_scenario.py (sweep .*)$", path.read_text(), re.M)[1]
    assert words.endswith(f" sweeps/{path.name}")
    result = run_here(*words.split(), "--dry-run", folder=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert {line.split()[1] for line in result.stdout.splitlines()} == {"missing"}
