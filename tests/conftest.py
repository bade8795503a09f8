"""Fixtures of all tests."""

import os
import signal
from pathlib import Path

import pytest

from cirtorch.datasets import cut_short, orientation
from cirtorch.datasets.told import Told

os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell lets what it starts with & ignore interrupts, and so would every process that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

PROJECT = Path(__file__).resolve().parents[1]


ENGINE = ("scenario/", "cirtorch/test_fingerprints.py")  # tests of what coverage is measured of


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Coverage is that of the engine by its own tests: tracing all others takes long."""
    plugin = item.config.pluginmanager.getplugin("_cov")
    place = str(item.path.relative_to(PROJECT / "tests"))
    if plugin is None or plugin.cov_controller is None or place.startswith(ENGINE):
        return (yield)
    plugin.cov_controller.pause()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
            return (yield)
    finally:
        plugin.cov_controller.resume()


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
