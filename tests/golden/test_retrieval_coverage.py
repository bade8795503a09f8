"""No golden file of this topic goes unread."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.golden import golden

TOPIC = "retrieval"


def patterns_in_tests():
    """File names, some with ``*``, that the golden tests of the topic ask for."""
    sources = (path.read_text() for path in Path(__file__).parent.glob(f"*{TOPIC}*.py"))
    return {name for text in sources for name in re.findall(r'"([\w.*]+\.(?:json|npz))"', text)}


@pytest.mark.parametrize("name", [n for n in golden.files(TOPIC, "*") if not n.endswith(".md")])
def test_every_file_is_read(name):
    assert any(fnmatch(name, pattern) for pattern in patterns_in_tests())
