"""The sweeps that are shipped fit the scenarios that they name, and a README tells of them."""

import re

import pytest

from tests.conftest import PROJECT
from tests.scenario.command import run_here

SCENARIOS = PROJECT / "scenarios"
SWEEPS = sorted((SCENARIOS / "sweeps").rglob("*.yml"))


def command_in(text):
    """The words of the command that the head of a sweep file names."""
    return re.search(r"^# +python3 perform_scenario.py (sweep .*)$", text, re.M)[1]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_all_cells_are_sound(path, tmp_path):
    """Target, steps, parameters and compared steps, for every cell."""
    words = command_in(path.read_text())
    assert words.endswith(f" {path.relative_to(SCENARIOS)}")
    result = run_here(*words.split(), "--dry-run", folder=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert {line.split()[1] for line in result.stdout.splitlines()} == {"missing"}


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_a_readme_names_it(path):
    told = "".join((folder / "README.md").read_text() for folder in (PROJECT, SCENARIOS))
    assert f"sweeps/{path.name}" in told
