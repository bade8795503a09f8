"""Files are written whole or not at all, and a disk that is full is called by its name."""

import os
import pickle
import resource
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

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
