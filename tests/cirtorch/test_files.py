"""Files are written whole or not at all, and a disk that is full is called by its name."""

import os
import pickle
import resource
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

from cirtorch.utils import files
from cirtorch.utils.files import atomic_write, replace_link

WRITERS = {
    "torch": lambda file: torch.save({"a": torch.ones(9000), "b": torch.ones(9000)}, file),
    "numpy": lambda file: np.save(file, np.ones(9000)),
    "archive": lambda file: np.savez(file, a=np.ones(9000)),
    "pickle": lambda file: pickle.dump(list(range(9000)), file),
    "picture": lambda file: Image.effect_noise((99, 99), 50).save(file, format="PNG"),
}


@contextmanager
def little_room(size=4096):
    """No file may grow beyond ``size`` bytes: the system then fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_no_room(write, tmp_path):
    path = tmp_path / "result"
    path.write_bytes(b"old")
    with little_room(), pytest.raises(OSError) as caught, atomic_write(path) as file:
        write(file)
    assert (caught.value.filename, caught.value.strerror) == (str(path), "File too large")
    assert os.listdir(tmp_path) == ["result"]
    assert path.read_bytes() == b"old"
    with atomic_write(path) as file:
        write(file)
    assert path.stat().st_size > 4096


@pytest.mark.parametrize("mistake", [ValueError("x"), OSError("an error without a number")])
def test_other_mistakes_pass_unchanged(mistake, tmp_path):
    with pytest.raises(type(mistake)) as caught, atomic_write(tmp_path / "result") as file:
        file.write(b"half")
        raise mistake
    assert caught.value is mistake
    assert os.listdir(tmp_path) == []


def test_text_and_folders_that_are_missing(tmp_path):
    path = tmp_path / "a" / "b" / "text"
    with atomic_write(path, "w", encoding="utf-8") as file:
        file.writelines(["ä\n", "b\n"])
        print("c", file=file)
    assert path.read_text(encoding="utf-8") == "ä\nb\nc\n"


@pytest.mark.parametrize("name", ["n" * 255, "ä" * 127, ".x.tmp"])
def test_any_name_that_the_file_system_takes(name, tmp_path):
    with atomic_write(tmp_path / name) as file:
        file.write(b"whole")
    assert (tmp_path / name).read_bytes() == b"whole"
    replace_link("elsewhere", tmp_path / name)
    assert os.listdir(tmp_path) == [name] and os.readlink(tmp_path / name) == "elsewhere"


WRITE = """
import os, sys
from cirtorch.utils import files
from cirtorch.utils.files import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("there", flush=True)
    sys.stdin.read()
"""


def start_writer(path):
    command = [sys.executable, "-c", WRITE, str(path)]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == "there\n"
    return writer


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    killed, living = start_writer(tmp_path / "a"), start_writer(tmp_path / "b")
    killed.kill()
    killed.communicate()
    own = {".hidden.tmp", ".a.b.tmp", "note.abcdefgh.tmp"}
    for name in own:
        (tmp_path / name).touch()
    files._swept.clear()
    with atomic_write(tmp_path / "a") as file:
        file.write(b"whole")
    (half,) = set(os.listdir(tmp_path)) - own - {"a"}
    assert half.startswith(".b.")
    living.communicate("")
    assert set(os.listdir(tmp_path)) == own | {"a", "b"}
    assert (tmp_path / "b").read_bytes() == b"half"


def test_a_file_that_is_being_renamed_is_not_swept(tmp_path, monkeypatch):
    replace = os.replace

    def swept_at_the_last_moment(source, target):
        files._swept.clear()
        files._sweep_once(tmp_path)
        replace(source, target)

    monkeypatch.setattr(os, "replace", swept_at_the_last_moment)
    with atomic_write(tmp_path / "a") as file:
        file.write(b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
