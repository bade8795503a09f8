"""No golden file of this topic goes unread."""

import re
from pathlib import Path

import pytest

from tests.golden import golden

TOPIC = "generators"
TRAJECTORIES = ("trajectories.json", "trajectories_original.json")


def names_in_tests():
    """File names that the golden tests of the topic ask for."""
    sources = (path.read_text() for path in Path(__file__).parent.glob("test_generators*.py"))
    named = {name for text in sources for name in re.findall(r'"([\w.]+\.(?:json|npz))"', text)}
    cases = (name for file in TRAJECTORIES for name in golden.load_json(TOPIC, file, {}))
    return named | {f"traj_{name}.npz" for name in cases}


@pytest.mark.parametrize("name", [n for n in golden.files(TOPIC, "*") if not n.endswith(".md")])
def test_every_file_is_read(name):
    assert name in names_in_tests()
