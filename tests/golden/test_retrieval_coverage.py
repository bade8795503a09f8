"""No golden file of this topic goes unread."""

import re
from pathlib import Path

import pytest

from tests.golden import golden

TOPIC = "retrieval"


def names_in_tests():
    """File names that the golden tests of the topic ask for."""
    sources = (path.read_text() for path in Path(__file__).parent.glob(f"test_{TOPIC}*.py"))
    return {name for text in sources for name in re.findall(r'"([\w.]+\.(?:json|npz))"', text)}


@pytest.mark.parametrize("name", [n for n in golden.files(TOPIC, "*") if not n.endswith(".md")])
def test_every_file_is_read(name):
    assert name in names_in_tests()
