"""No golden array of UnifiedProxy goes unread."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.golden import golden

TOPIC = "unified_proxy"
ARRAYS = [
    pytest.param(name, key, id=f"{name}-{key}")
    for name in golden.files(TOPIC, "*.npz")
    for key in golden.load_npz(TOPIC, name)
]


def readers(name):
    """The texts of the golden tests that ask for a file; some write ``*`` in its name."""
    here = Path(__file__)
    texts = [path.read_text() for path in here.parent.glob("test_unified_proxy_*.py")]
    texts.remove(here.read_text())
    return [
        text
        for text in texts
        if any(fnmatch(name, pattern) for pattern in re.findall(r'"([\w.*]+\.npz)"', text))
    ]


@pytest.mark.parametrize(("name", "key"), ARRAYS)
def test_every_array_is_read(name, key):
    """By its name, or by the ending of one that begins with a case."""
    endings = [key, *(key[match.end() :] for match in re.finditer("_", key))]
    named = re.compile(rf'["_}}]({"|".join(endings)})"')
    assert any(named.search(text) for text in readers(name))
