"""Places that cannot be written: a line with the path, exit code 1; reading from them goes on.

Root writes wherever it likes, so that system calls stand in for a disk that is mounted read-only.
"""

import builtins
import errno
import io
import os

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.scenario.command import run_here
from tests.sections import DATA, single
from tests.stages import test_infer  # noqa: F401  (registers an architecture)

NETWORK = single({"architecture": "test_channel_means"}, wrappers="", data=DATA)
IDENTITY = single({"architecture": "identity"}, wrappers="", data=DATA)
STEPS = {
    "infer": {
        "__function__": "mdir.stages.infer.infer",
        "names": "photos/a/day",
        "network": IDENTITY,
        "output": {"inference": {"name": "rgb", "image_dir": "W/infer"}},
        "data": {"test": {"dataset": {"name": "ImageList", "image_dir": "photos/a/day"}}},
    },
    "extract": {
        "__function__": "mdir.stages.extract.extract",
        "network": NETWORK,
        "images": "photos",
        "directory": "W/extract",
    },
    "photos": {
        "__function__": "mdir.stages.photos.photos",
        "photos": "photos",
        "directory": "W/photos",
    },
    "report": {
        "__function__": "mdir.stages.report.report",
        "title": "T",
        "directory": "W/report",
        "translations": {"Same": {"input": "photos/a/day", "output": "photos/a/day"}},
    },
    "validate": {
        "__function__": "mdir.stages.validate.validate",
        "network": NETWORK,
        "rankings": "W/rankings",
        "data": {},
        "validation": {
            "type": "SingleValidation",
            "data": None,
            "network_overlay": None,
            "frequency": None,
            "criterion": {
                "type": "cirdatasetap",
                "image_size": None,
                "dataset": {"name": "own", "queries": "q.tsv", "db": "db.tsv", "imgdir": "photos"},
            },
        },
    },
    "toy": {
        "__function__": "mdir.stages.toy_world.toy_fine_grained",
        "sets": ["car"],
        "directory": "W/toy",
    },
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "root"
    for number, place in enumerate(("a/day", "a/night", "b/day", "b/night")):
        for copy in range(2):
            path = root / "photos" / place / f"{copy}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.RandomState(2 * number + copy).randint(0, 256, (16, 24, 3), np.uint8)
            Image.fromarray(pixels).save(path)
    (root / "q.tsv").write_text('query\tbbx\tok\tjunk\na/day/0.jpg\t\t["a/day/1.jpg"]\t\n')
    (root / "db.tsv").write_text("identifier\na/day/1.jpg\nb/day/0.jpg\n")
    return tmp_path


def perform(folder, step, place="W"):
    text = yaml.safe_dump({"go": {"1": STEPS[step]}}, sort_keys=False)
    (folder / "s.yml").write_text(text.replace("W/", f"{place}/"))
    return run_here("go", "s.yml", folder=folder)


def read_only(monkeypatch, place):
    """Refuse to write below a folder, as a file system that is mounted read-only does."""

    def guard(call, writes):
        def guarded(path, *args, **options):
            inside = isinstance(path, (str, os.PathLike)) and str(path).startswith(f"{place}/")
            if inside and writes(*args, **options):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
            return call(path, *args, **options)

        return guarded

    def by_mode(mode="r", *_, **__):
        return not mode.startswith("r") or "+" in mode

    monkeypatch.setattr(os, "mkdir", guard(os.mkdir, lambda *_, **__: True))
    monkeypatch.setattr(os, "open", guard(os.open, lambda flags, *_, **__: flags & WRITING))
    for module in (io, builtins):
        monkeypatch.setattr(module, "open", guard(module.open, by_mode))


def assert_one_line(result, start, reason):
    assert result.returncode == 1, result
    (line,) = [text for text in result.stderr.splitlines() if text.startswith("error: ")]
    assert line.startswith(f"error: {start}") and line.endswith(f": {reason}"), line
    assert result.stderr.endswith(line + "\n") and "Traceback" not in result.stderr


@pytest.mark.parametrize("step", STEPS)
def test_a_folder_that_may_not_be_written(folder, step, monkeypatch):
    place = folder / "root" / "W"
    place.mkdir()
    read_only(monkeypatch, place)
    result = perform(folder, step)
    assert_one_line(result, f"step 1 failed: {place}/", "Read-only file system")
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("step", STEPS)
def test_a_file_in_the_place_of_the_folder(folder, step):
    place = folder / "root" / "W"
    place.write_text("mine")
    result = perform(folder, step)
    assert_one_line(result, f"step 1 failed: {place}/", "Not a directory")
    assert place.read_text() == "mine"


@pytest.mark.parametrize("step", [name for name in STEPS if name != "toy"])
def test_what_may_not_be_written_can_be_read(folder, step, monkeypatch):
    read_only(monkeypatch, folder / "root" / "photos")
    assert perform(folder, step).returncode == 0


def test_a_root_that_may_not_be_written(folder, monkeypatch):
    read_only(monkeypatch, folder / "root")
    assert_one_line(perform(folder, "infer"), f"{folder}/root/journal/", "Read-only file system")
    for command in (["validate", "s.yml"], ["go", "s.yml", "--dry-run"]):
        assert run_here(*command, folder=folder).returncode == 0
