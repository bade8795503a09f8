"""What is remembered of files and folders, and how they differ later."""

import os

import pytest

from mdir.scenario import fingerprints
from mdir.scenario.fingerprints import content, difference, fingerprint


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "folder"
    (path / "sub").mkdir(parents=True)
    (path / "a.txt").write_text("one")
    (path / "sub/b.txt").write_text("two!")
    (path / "gone").symlink_to("nowhere")
    return path


def test_a_folder_is_its_files(folder):
    recorded = fingerprint(folder)
    assert recorded["kind"] == "folder"
    sizes = {name: size for name, (size, _) in recorded["files"].items()}
    assert sizes == {"a.txt": 3, "sub/b.txt": 4, "gone": -1}
    assert content(recorded) == [("a.txt", 3), ("gone", -1), ("sub/b.txt", 4)]
    assert difference(folder, recorded) is None


def test_new_files_count_unless_the_folder_may_grow(folder):
    recorded = fingerprint(folder)
    (folder / "sub/new.txt").touch()
    assert difference(folder, recorded) == f"new file: {folder}/sub/new.txt"
    assert difference(folder, recorded, may_grow=True) is None


@pytest.mark.parametrize("may_grow", [False, True])
def test_files_of_a_folder_that_went_or_changed(folder, may_grow):
    recorded = fingerprint(folder)
    (folder / "sub/b.txt").write_text("three")
    assert difference(folder, recorded, may_grow) == f"changed: {folder}/sub/b.txt"
    (folder / "a.txt").unlink()
    (folder / "sub/b.txt").unlink()
    assert difference(folder, recorded, may_grow).startswith("missing: ")


def test_a_large_folder_is_known_by_its_first_files(folder, monkeypatch):
    monkeypatch.setattr(fingerprints, "MAX_LISTED", 2)
    recorded = fingerprint(folder)
    assert len(recorded["files"]) == 2
    (folder / "zzz.txt").touch()
    assert difference(folder, recorded) is None


def test_what_was_missing_may_stay_so(tmp_path):
    recorded = fingerprint(tmp_path / "absent")
    assert recorded == {"kind": "missing"}
    assert content(recorded) == ["missing", None, None]
    assert difference(tmp_path / "absent", recorded) is None
    (tmp_path / "absent").touch()
    assert difference(tmp_path / "absent", recorded) == f"changed: {tmp_path}/absent"


def test_a_file_and_a_folder_are_never_the_same(folder):
    file = folder / "a.txt"
    recorded_folder, recorded_file = fingerprint(folder), fingerprint(file)
    assert difference(folder, recorded_file) == f"changed: {folder}"
    assert difference(file, recorded_folder) == f"changed: {file}"


def test_a_touched_file_is_compared_by_its_content(folder, monkeypatch):
    file = folder / "a.txt"
    recorded = fingerprint(file)
    os.utime(file, (1, 1))
    assert difference(file, recorded) is None
    file.write_text("two")
    os.utime(file, (1, 1))
    assert difference(file, recorded) == f"changed: {file}"
    monkeypatch.setattr(fingerprints, "MAX_HASHED", 2)
    unhashed = fingerprint(file)
    assert unhashed["sha256"] is None
    os.utime(file, (2, 2))
    assert difference(file, unhashed) == f"changed: {file}"
