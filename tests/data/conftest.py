"""Fixtures of the tests of decoded pictures that are kept."""

import pytest

from mdir.data import decoded_cache
from tests.data.decoded_pictures import paint


@pytest.fixture
def fresh(monkeypatch):
    """A process that knows of no cache yet."""
    monkeypatch.setattr(decoded_cache, "_closed", {})
    monkeypatch.setattr(decoded_cache, "_counted", set())


@pytest.fixture
def decoded(monkeypatch):
    """Names of the images that are decoded from now on."""
    names, begin = [], decoded_cache.Opened.__init__

    def opened(self, image, name, is_kept):
        if not is_kept:
            names.append(name)
        begin(self, image, name, is_kept)

    monkeypatch.setattr(decoded_cache.Opened, "__init__", opened)
    return names


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return paint(tmp_path_factory.mktemp("cache") / "pictures")
