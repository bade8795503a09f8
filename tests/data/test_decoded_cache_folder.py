"""The folder of decoded images: its bounds, and what is told when it cannot be written."""

import errno
import multiprocessing
import os

import pytest
import torch

from cirtorch.utils.errors import DataError
from mdir.data import decoded_cache
from mdir.data.image_files import open_image, open_through
from mdir.data.loading import make_dataset, make_loader
from tests.data.datasets.test_tuples import PARAMS, database  # noqa: F401
from tests.data.decoded_pictures import cached, listed, names_of, paint
from tests.data.fine_grained_sets import turn

pytestmark = pytest.mark.usefixtures("untold", "fresh")

GIB = 2**30


def stored(root):
    return [file for file in (root / "cache/decoded").rglob("*") if file.is_file()]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_full_cache_says_so_once_and_keeps_its_bound(root, workers, capfd):
    names, limit = names_of(paint(root / "pictures")), 5500
    loader = {"batch_size": 2, "num_workers": workers}
    other = root / "cache/decoded/other"
    other.parent.mkdir(parents=True)
    other.write_bytes(bytes(1000))
    plain = list(make_loader(make_dataset(listed(), None, names), {"loader": loader}))
    for _ in range(2):
        dataset = make_dataset(listed(decoded_cache=limit / GIB), None, names)
        for epoch in range(2):
            batches = list(make_loader(dataset, {"loader": loader}, epoch=epoch))
            assert all(torch.equal(a.tensor, b.tensor) for a, b in zip(batches, plain, strict=True))
    told = capfd.readouterr().err
    assert told.count("no more are kept") == told.count("Warning") == 1
    assert "cache/decoded holds 0.00 GiB of decoded images, and decoded_cache admits" in told
    assert "Raise decoded_cache, or remove the folder" in told
    kept = [file for file in stored(root) if file.parent != other.parent]
    assert len(kept) == 5 and sum(file.stat().st_size for file in stored(root)) <= limit
    assert other.read_bytes() == bytes(1000)


def test_what_was_removed_makes_room(root, capfd):
    names = names_of(paint(root / "pictures"))
    list(make_dataset(listed(decoded_cache=3000 / GIB), None, names))
    first = stored(root)
    for file in first:
        file.unlink()
    list(make_dataset(listed(decoded_cache=6000 / GIB), None, names))
    assert len(stored(root)) == 7 + 1  # images of 800 bytes, and their total
    assert capfd.readouterr().err.count("no more are kept") == 2


@pytest.mark.parametrize("total", ["", "many", "-" * 30])
def test_a_lost_total_is_counted_again(root, total):
    names = names_of(paint(root / "pictures"))
    list(make_dataset(listed(decoded_cache=3000 / GIB), None, names))
    (root / "cache/decoded/total").write_text(total)
    count = len(stored(root))
    decoded_cache._closed.clear()
    list(make_dataset(listed(decoded_cache=3000 / GIB), None, names))
    assert len(stored(root)) == count == 4


def fill(names, root, gate):
    gate.wait()
    dataset = make_dataset(listed(decoded_cache=1), None, names)
    for _ in range(2):
        list(dataset)


def test_several_runs_fill_it_at_once(root):
    names = names_of(paint(root / "pictures"))
    fork = multiprocessing.get_context("fork")
    gate = fork.Barrier(3)
    runs = [fork.Process(target=fill, args=(names, root, gate)) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert [run.exitcode for run in runs] == [0] * 3
    sizes = {file.name: file.stat().st_size for file in stored(root)}
    total = int((root / "cache/decoded/total").read_text())
    assert sizes.pop("total") == 20 and len(sizes) == len(names[0])
    assert total - 20 <= sum(sizes.values()) <= total


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_folder_that_cannot_be_written(root, code, workers, monkeypatch, capfd):
    """What is there is used, the rest is decoded, and a line says why."""
    names, loader = names_of(paint(root / "pictures")), {"batch_size": 2, "num_workers": workers}
    plain = list(make_loader(make_dataset(listed(), None, names), {"loader": loader}))
    make_dataset(listed(decoded_cache=1), None, names)[0]
    files = stored(root)

    def refuse(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(decoded_cache, "atomic_write", refuse)
    dataset = make_dataset(listed(decoded_cache=1), None, names)
    for _ in range(2):
        batches = list(make_loader(dataset, {"loader": loader}))
        assert all(torch.equal(a.tensor, b.tensor) for a, b in zip(batches, plain, strict=True))
    told = capfd.readouterr().err
    assert told.count("Warning") == 1 and os.strerror(code) in told
    assert "no decoded images are kept there" in told
    assert stored(root) == files


def test_a_folder_that_cannot_be_made(root, capfd):
    names = names_of(paint(root / "pictures"))
    (root / "cache").write_text("")
    dataset = make_dataset(listed(decoded_cache=1), None, names)
    assert len(list(dataset)) == len(names[0])
    assert capfd.readouterr().err.count("no decoded images are kept there") == 1


def test_what_is_told_of_a_file_is_told_by_every_run(root, monkeypatch, capfd):
    paths = paint(root / "pictures")
    cut, turned = (path for path in paths if path.endswith(("0.jpg", "1.jpg")))
    with open(cut, "r+b") as file:
        file.truncate(os.path.getsize(cut) - 20)
    turn(root / "pictures/1.jpg")
    transform = cached("totensor")
    for _ in range(2):
        for path in (cut, turned):
            transform(open_through(transform, open_image, path))
    assert not stored(root)
    told = capfd.readouterr().err
    assert f"{cut} is cut short" in told and f"{turned} was taken with the camera turned" in told
    transform(open_through(transform, open_image, turned, "RGB", True))
    assert len(stored(root)) == 2  # upright, nothing is wrong with it


@pytest.mark.parametrize("workers", [0, 1])
def test_strict_images_refuses_every_time(root, workers):
    paths = [path for path in paint(root / "pictures") if path.endswith(".jpg")]
    with open(paths[1], "r+b") as file:
        file.truncate(os.path.getsize(paths[1]) - 20)
    loader = {"batch_size": 1, "num_workers": workers}
    forgiving = make_dataset(listed(decoded_cache=1), None, names_of(paths))
    assert len(list(make_loader(forgiving, {"loader": loader}))) == len(paths)
    for _ in range(2):
        strict = make_dataset(listed(decoded_cache=1, strict_images=True), None, names_of(paths))
        with pytest.raises(DataError, match="is cut short, which strict_images does not admit"):
            list(make_loader(strict, {"loader": loader}))
