"""Fixtures of all tests."""

import gc
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from cirtorch.datasets import cut_short, orientation
from cirtorch.datasets.told import Told

os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell lets what it starts with & ignore interrupts, and so would every process that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

PROJECT = Path(__file__).resolve().parents[1]


def pytest_configure(config):
    """pytest-xdist, if it is there, keeps the order of :func:`pytest_collection_modifyitems`."""
    config.option.loadscopereorder = False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What takes long comes first, so that all processes come to their end together.

    These are files with slow tests, as the others in them take long as well, then those with many.
    """
    tests = Counter(item.path for item in items)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, -tests[item.path]))


def pytest_collection_finish():
    """What was imported stays: no collector need look at it, nor copy it in every fork."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty CIRTORCH_ROOT of the test's own."""
    folder = tmp_path / "root"
    folder.mkdir()
    monkeypatch.setenv("CIRTORCH_ROOT", str(folder))
    return folder


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of real photographs (``PHOTOS_ROOT``, default ``../shared/data/photos``)."""
    folder = Path(os.environ.get("PHOTOS_ROOT", PROJECT.parent / "shared" / "data" / "photos"))
    if not (folder / "index.csv").exists():
        pytest.skip(f"photographs are absent: {folder} (set PHOTOS_ROOT)")
    return folder


@pytest.fixture
def untold(monkeypatch):
    """A process that has not warned of any picture yet."""
    for module in (cut_short, orientation):
        monkeypatch.setattr(module, "_tell", Told(module._tell.what))
