"""What is remembered of files and folders, and how they differ later."""

import hashlib
import os
import shutil

import pytest

from cirtorch.utils import fingerprints
from cirtorch.utils.fingerprints import (
    as_files,
    content,
    differences,
    fingerprint,
    glance,
    is_fingerprint,
    meets,
    refresh,
    stamp_of,
    with_digests,
)
from cirtorch.utils.general import sha256_hash


def fingerprint_files(root, paths):
    """As a run remembers the files of a list."""
    return with_digests(root, as_files(root, {path: stamp_of(path) for path in paths}))


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
    sizes = {name: stamp.split()[0] for name, stamp in recorded["files"].items()}
    assert sizes == {"a.txt": "3", "sub/b.txt": "4", "gone": "gone"}
    digests = [hashlib.sha256(text).hexdigest() for text in (b"one", b"two!")]
    assert content(recorded) == [("a.txt", digests[0]), ("gone", "gone"), ("sub/b.txt", digests[1])]
    assert differences(folder, recorded) == []


def test_new_files_count_unless_the_folder_may_grow(folder):
    recorded = fingerprint(folder)
    (folder / "sub/new.txt").touch()
    assert differences(folder, recorded) == [f"new file: {folder}/sub/new.txt"]
    assert differences(folder, recorded, may_grow=True) == []


@pytest.mark.parametrize("may_grow", [False, True])
def test_files_of_a_folder_that_went_or_changed(folder, may_grow):
    recorded = fingerprint(folder)
    (folder / "sub/b.txt").write_text("three")
    assert differences(folder, recorded, may_grow) == [f"changed: {folder}/sub/b.txt"]
    (folder / "a.txt").unlink()
    (folder / "sub/b.txt").unlink()
    missing = [f"missing: {folder}/{name}" for name in ("a.txt", "sub/b.txt")]
    assert differences(folder, recorded, may_grow) == missing


def test_beyond_what_is_read_the_times_count_and_not_the_content(folder, monkeypatch):
    monkeypatch.setattr(fingerprints, "MAX_HASHED", 6)
    recorded = fingerprint(folder)
    assert len(recorded["files"]) == 3 and recorded["sha256"] == {}
    assert differences(folder, recorded) == []
    (folder / "a.txt").chmod(0o600)
    (change,) = differences(folder, recorded)
    assert change.startswith("perhaps changed (") and change.endswith(f": {folder}/a.txt")
    os.utime(folder / "a.txt", (1, 1))
    assert differences(folder, recorded) == [f"changed: {folder}/a.txt"]
    assert content(fingerprint(folder)) != content(recorded)


def test_files_are_read_again_only_where_they_moved(folder, monkeypatch):
    recorded, read = fingerprint(folder), []
    monkeypatch.setattr(
        fingerprints, "sha256_hash", lambda path, **_: read.append(path) or sha256_hash(path)
    )
    assert fingerprint(folder) == recorded and read == []
    (folder / "a.txt").write_text("ONE")
    assert differences(folder, recorded) == [f"changed: {folder}/a.txt"]
    assert read == [f"{folder}/a.txt"]


def test_a_copy_of_equal_content_becomes_the_one_that_is_known(folder, tmp_path):
    recorded = fingerprint(folder)
    shutil.copytree(folder, tmp_path / "copy", symlinks=True)
    shutil.rmtree(folder)
    (tmp_path / "copy").rename(folder)
    assert differences(folder, recorded) == []
    assert refresh(folder, recorded)
    assert recorded == fingerprint(folder)
    assert not refresh(folder, recorded)


def test_a_file_that_moved_since_it_was_seen_has_no_digest(folder):
    seen = glance(folder)
    (folder / "a.txt").write_text("ONE")
    recorded = with_digests(folder, seen)
    assert list(recorded["sha256"]) == ["sub/b.txt"]
    assert differences(folder, recorded) == [f"changed: {folder}/a.txt"]


def test_many_files_of_a_list(folder):
    names = ["a.txt", "sub/b.txt", "absent.txt"]
    recorded = fingerprint_files(str(folder), [f"{folder}/{name}" for name in names])
    assert recorded["kind"] == "files" and list(recorded["files"]) == names
    (folder / "new.txt").touch()
    os.utime(folder / "a.txt", (1, 1))
    assert differences(folder, recorded) == []
    (folder / "absent.txt").touch()
    (folder / "sub/b.txt").write_text("TWO!")
    changed = [f"changed: {folder}/{name}" for name in ("sub/b.txt", "absent.txt")]
    assert differences(folder, recorded) == changed
    (folder / "sub/b.txt").unlink()
    assert differences(folder, recorded)[0] == f"missing: {folder}/sub/b.txt"


def test_what_version_1_0_0_remembered(folder):
    status = os.stat(folder / "a.txt")
    pair = [status.st_size, status.st_mtime_ns]
    file = {"kind": "file", "size": pair[0], "time": pair[1], "sha256": "0"}
    many = {"kind": "folder", "files": {"a.txt": pair, "gone": [-1, 0]}}
    assert all(map(is_fingerprint, (file, many)))
    assert differences(folder / "a.txt", file) == []
    assert differences(folder, many, may_grow=True) == []
    assert differences(folder, many) == [f"new file: {folder}/sub/b.txt"]
    (folder / "a.txt").write_text("more")
    assert differences(folder / "a.txt", file) == [f"changed: {folder}/a.txt"]
    assert differences(folder, many)[0] == f"changed: {folder}/a.txt"


def test_what_was_made_meets_what_is_read(folder):
    listed = fingerprint_files(str(folder), [f"{folder}/sub/b.txt"])
    whole = fingerprint(folder)
    for made, of_list, of_folder in (
        (f"{folder}/sub", True, True),
        (f"{folder}/sub/b.txt", True, True),
        (f"{folder}/new.txt", False, True),
        (str(folder.parent), True, True),
        (f"{folder}2", False, False),
    ):
        assert meets(str(folder), listed, {made}) == of_list
        assert meets(str(folder), whole, {made}) == of_folder


def test_what_was_missing_may_stay_so(tmp_path):
    recorded = fingerprint(tmp_path / "absent")
    assert recorded == {"kind": "missing"}
    assert content(recorded) == ["missing", None, None]
    assert differences(tmp_path / "absent", recorded) == []
    (tmp_path / "absent").touch()
    assert differences(tmp_path / "absent", recorded) == [f"changed: {tmp_path}/absent"]


def test_a_file_and_a_folder_are_never_the_same(folder):
    file = folder / "a.txt"
    recorded_folder, recorded_file = fingerprint(folder), fingerprint(file)
    assert differences(folder, recorded_file) == [f"changed: {folder}"]
    assert differences(file, recorded_folder) == [f"changed: {file}"]


def test_a_touched_file_is_compared_by_its_content(folder, monkeypatch):
    file = folder / "a.txt"
    recorded = fingerprint(file)
    os.utime(file, (1, 1))
    assert differences(file, recorded) == []
    file.write_text("two")
    os.utime(file, ns=(1, int(recorded["stamp"].split()[1])))
    assert differences(file, recorded) == [f"changed: {file}"]
    monkeypatch.setattr(fingerprints, "MAX_HASHED", 2)
    unhashed = fingerprint(file)
    assert unhashed["sha256"] is None
    os.utime(file, (2, 2))
    assert differences(file, unhashed) == [f"changed: {file}"]


def test_the_content_of_as_much_as_may_be_is_remembered(folder, monkeypatch):
    monkeypatch.setattr(fingerprints, "MAX_HASHED", 7)
    assert list(fingerprint(folder)["sha256"]) == ["a.txt", "sub/b.txt"]


def test_version_1_0_0_listed_only_some_files_of_large_folders(folder, monkeypatch):
    status = os.stat(folder / "a.txt")
    files = {"a.txt": [status.st_size, status.st_mtime_ns], "gone": [-1, 0]}
    for listed, change in ((3, [f"new file: {folder}/sub/b.txt"]), (2, [])):
        monkeypatch.setattr(fingerprints, "OLD_LISTED", listed)
        assert differences(folder, {"kind": "folder", "files": files}) == change


def test_what_went_altogether(folder, tmp_path):
    file, whole = folder / "a.txt", fingerprint(folder)
    recorded = fingerprint(file)
    file.unlink()
    assert differences(file, recorded) == [f"missing: {file}"]
    file.symlink_to("nowhere")
    assert differences(file, recorded) == [f"changed: {file}"]
    assert differences(tmp_path / "absent", whole) == [f"missing: {tmp_path}/absent"]


def test_what_copies_share(folder, monkeypatch):
    digest = hashlib.sha256(b"one").hexdigest()
    recorded = fingerprint(folder / "a.txt")
    assert content(recorded) == ["file", "3", digest]
    assert content({**recorded, "sha256": None}) == ["file", "3", recorded["stamp"]]
    listed = fingerprint_files(str(folder), [f"{folder}/sub/b.txt", f"{folder}/a.txt"])
    assert content(listed)[0] == ("a.txt", digest)
    stamps = {**listed, "sha256": {}}
    assert content(stamps) == sorted(listed["files"].items())


FILE = {"kind": "file", "sha256": None}


@pytest.mark.parametrize(
    ("value", "sound"),
    [
        ({"kind": "missing"}, True),
        ({**FILE, "stamp": "1 2 3"}, True),
        ({**FILE, "size": 1, "time": 2}, True),
        ({**FILE, "size": 1}, False),
        ({"kind": "file", "stamp": "1 2 3"}, False),
        ({"kind": "folder", "files": {}, "sha256": {}}, True),
        ({"kind": "files", "files": {"a": "1 2 3"}, "sha256": {}}, True),
        ({"kind": "files", "files": {"a": [1, 2]}, "sha256": {}}, False),
        ({"kind": "folder", "files": {"a": [1, 2]}}, True),
        ({"kind": "folder", "files": {"a": [1, 2, 3]}}, False),
        ({"kind": "folder", "files": {"a": "1 2"}}, False),
        ({"kind": "folder", "files": None}, False),
        ({"kind": "folder", "sha256": {}}, False),
        ({"kind": "link"}, False),
        ({}, False),
        ("missing", False),
    ],
)
def test_what_a_fingerprint_looks_like(value, sound):
    assert is_fingerprint(value) == sound
