"""No golden file of re-identification and place recognition goes unread."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.golden import golden

FILES = [
    pytest.param(topic, name, id=f"{topic}-{name}")
    for topic in ("reid", "cluster_contrast", "place_recognition")
    for name in golden.files(topic, "*")
    if not name.endswith(".md")
]


def patterns_in_tests(topic):
    """File names, some with ``*``, that the golden tests which name the topic ask for."""
    here = Path(__file__)
    sources = [path.read_text() for path in here.parent.glob("test_*.py") if path != here]
    named = [text for text in sources if f'"{topic}"' in text]
    return {name for text in named for name in re.findall(r'"([\w.*]+\.npz)"', text)}


@pytest.mark.parametrize(("topic", "name"), FILES)
def test_every_file_is_read(topic, name):
    assert any(fnmatch(name, pattern) for pattern in patterns_in_tests(topic))
