import tarfile

import pytest

from cirtorch.downloads import fetch
from cirtorch.downloads.archive import unpack
from cirtorch.downloads.fetch import sources
from cirtorch.downloads.known_files import known_files, known_folders, known_links, known_weights
from cirtorch.networks import published
from cirtorch.networks.pretrained import PRETRAINED
from cirtorch.utils.download import download_parts, download_test, download_train
from cirtorch.utils.errors import DataError
from tests.cirtorch.small_mirror import CID, tar, world, zipped
from tests.cirtorch.unruly_server import unruly_server

NOBODY = "http://127.0.0.1:9/nobody/listens"


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, content in world().items():
        (folder / name).write_bytes(content)
    monkeypatch.setenv("CIRTORCH_MIRROR", str(folder))
    monkeypatch.setattr(fetch, "sources", lambda url: sources(url)[:-1] or [NOBODY])
    monkeypatch.setattr(fetch.time, "sleep", lambda seconds: None)
    return folder


def test_layout_of_training_data(mirror, tmp_path):
    data = tmp_path / "data"
    download_parts(data, "train", "day_night")
    train = data / "train" / "retrieval-SfM-120k"
    assert (train / "ims/8a/b3/ab" / CID).read_bytes() == b"picture"
    assert (train / "retrieval-SfM-120k-whiten.pkl").exists()
    assert (train / "dataset" / "train_night.txt").exists()
    assert (data / "train/retrieval-SfM-30k/ims/8a/b3/ab" / CID).exists()
    assert (data / "val/day_night/1.jpg").read_bytes() == b"picture"
    assert not list(data.rglob("*.part*")) and not list(data.rglob("*.tar.gz"))
    assert not list(data.rglob(".*"))


def test_layout_of_test_data(mirror, tmp_path, capsys):
    download_test(tmp_path / "data")
    test = tmp_path / "data" / "test"
    found = {
        path.parent.name: sorted(p.name for p in path.iterdir()) for path in test.glob("*/jpg")
    }
    assert found == {
        "oxford5k": ["a.jpg", "b.jpg"],
        "roxford5k": ["a.jpg", "b.jpg"],
        "paris6k": ["c.jpg", "d.jpg"],
        "rparis6k": ["c.jpg", "d.jpg"],
        "247tokyo1k": ["1.jpg"],
    }
    assert len(list(test.glob("*/gnd_*.pkl"))) == 5
    assert "Warning" not in capsys.readouterr().err


def test_root_may_move(mirror, tmp_path):
    download_test(tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / "moved")
    assert (tmp_path / "moved/test/roxford5k/jpg/a.jpg").exists()


def test_what_is_there_is_not_fetched_again(mirror, tmp_path):
    download_train(tmp_path / "data")
    for path in mirror.iterdir():
        path.unlink()
    download_train(tmp_path / "data")


def test_empty_folder_and_empty_file_do_not_count(mirror, tmp_path):
    train = tmp_path / "data" / "train" / "retrieval-SfM-120k"
    (train / "ims").mkdir(parents=True)
    (train / "retrieval-SfM-120k.pkl").touch()
    download_train(tmp_path / "data")
    assert (train / "ims/8a/b3/ab" / CID).exists()
    assert (train / "retrieval-SfM-120k.pkl").stat().st_size


def test_withdrawn_pictures_are_a_warning_that_helps(mirror, tmp_path, capsys):
    (mirror / "oxbuild_images-v1.tgz").unlink()
    download_test(tmp_path / "data")
    message = capsys.readouterr().err
    assert "oxford5k/jpg" in message and "5,063 pictures" in message
    assert (tmp_path / "data/test/paris6k/jpg/c.jpg").exists()


def test_pictures_put_there_by_hand_are_accepted(mirror, tmp_path, capsys):
    (mirror / "oxbuild_images-v1.tgz").unlink()
    own = tmp_path / "data/test/oxford5k/jpg"
    own.mkdir(parents=True)
    (own / "a.jpg").write_bytes(b"a")
    download_test(tmp_path / "data")
    assert "lacks 1 of 2 pictures, such as b.jpg" in capsys.readouterr().err
    (own / "b.jpg").write_bytes(b"b")
    download_test(tmp_path / "data")
    assert "Warning" not in capsys.readouterr().err


def test_archive_put_there_by_hand_is_unpacked(mirror, tmp_path):
    archive = mirror / "oxbuild_images-v1.tgz"
    place = tmp_path / "data/test/oxford5k" / archive.name
    place.parent.mkdir(parents=True)
    archive.rename(place)
    download_test(tmp_path / "data")
    assert (tmp_path / "data/test/oxford5k/jpg/b.jpg").exists()


def test_all_failures_are_reported_and_the_rest_is_there(mirror, tmp_path):
    (mirror / "gnd_paris6k.pkl").unlink()
    (mirror / "247query_v3.zip").unlink()
    with pytest.raises(DataError, match=r"(?s)gnd_paris6k\.pkl.*247tokyo1k.*What to do"):
        download_test(tmp_path / "data")
    assert (tmp_path / "data/test/oxford5k/jpg/a.jpg").exists()


def test_hostile_archive_from_a_server(tmp_path, monkeypatch):
    with unruly_server() as server:
        server.files = {f"/{name}": content for name, content in world().items()}
        server.files["/ims.tar.gz"] = tar({"../../escaped": b"evil"})
        monkeypatch.setenv("CIRTORCH_MIRROR", server.url(""))
        with pytest.raises(DataError, match=r"ims\.tar\.gz: refused.*escaped.*leads out"):
            download_train(tmp_path / "data")
    assert not list(tmp_path.rglob("escaped"))
    assert not (tmp_path / "data/train/retrieval-SfM-120k/ims").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tar({"../x": b"x"}), "leads out"),
        (tar({"a/../../x": b"x"}), "leads out"),
        (tar({"/x": b"x"}), "leads out"),
        (tar({"x": b""}, tarfile.SYMTYPE), "link or a device"),
        (tar({"x": b""}, tarfile.LNKTYPE), "link or a device"),
        (tar({"x": b""}, tarfile.CHRTYPE), "link or a device"),
        (tar({"x": b""}, tarfile.FIFOTYPE), "link or a device"),
        (zipped({"../x": b"x"}), "leads out"),
        (zipped({"/x": b"x"}), "leads out"),
        (zipped({"..\\x": b"x"}), "leads out"),
        (tar({"a": bytes(100_000)})[:-20], "cannot be unpacked"),
        (tar({"a": bytes(100_000)}, mode="w")[:50_000], "cannot be unpacked"),
        (zipped({"a": bytes(1000)})[:-30], "cannot be unpacked"),
        (b"<html>", "cannot be unpacked"),
        (tar({"good": b"x", "bad/../../y": b"y"}), "leads out"),
    ],
    ids=lambda value: "archive" if isinstance(value, bytes) else value,
)
def test_bad_archives_leave_nothing(tmp_path, content, message):
    archive = tmp_path / "archive"
    archive.write_bytes(content)
    with pytest.raises(DataError, match=message):
        unpack([archive], tmp_path / "out" / "into")
    assert not list((tmp_path / "out").iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "out"]


def test_flat_archives_refuse_two_files_of_one_name(tmp_path):
    archive = tmp_path / "archive"
    archive.write_bytes(tar({"a/x": b"1", "b/x": b"2"}))
    with pytest.raises(DataError, match="two different files"):
        unpack([archive], tmp_path / "into", flat=True)


def test_unpacking_keeps_what_is_there(tmp_path):
    archive, folder = tmp_path / "archive", tmp_path / "into"
    archive.write_bytes(tar({"new/x": b"1"}))
    folder.mkdir()
    (folder / "mine").write_bytes(b"mine")
    unpack([archive], folder)
    assert {path.name for path in folder.rglob("*")} == {"mine", "new", "x"}


def test_registry_is_complete():
    for part in ("train", "day_night", "test"):
        for known in known_files(part):
            assert known.url.startswith("http") and known.licence
        assert known_links(part)
    assert [known.to.split("/")[1] for known in known_folders("test")] == [
        "oxford5k",
        "paris6k",
        "247tokyo1k",
    ]
    weights = [known for group in known_weights().values() for known in group]
    assert {known.sha256 for known in weights} > {"4142b192", "d369c8e", None}
    assert {known.to.rpartition("/")[0] for known in weights} == {
        "weights",
        "data/networks",
        "data/whiten",
    }
    assert all(known.licence and known.preprocessing for known in weights)
    assert all(known.url or known.by_hand for known in weights)


def test_registry_has_all_networks_that_cirtorch_names():
    urls = {known.url for group in known_weights().values() for known in group if known.url}
    for table in (published.FEATURES, published.L_WHITENING, published.R_WHITENING):
        assert set(table.values()) <= urls
    assert set(published.WHITENING.values()) <= urls
    assert {url.rsplit("/", 1)[-1] for url in urls} >= {
        path.rsplit("/", 1)[-1] for path in PRETRAINED.values()
    }


def test_leftovers_of_a_killed_unpacking_do_not_get_in(tmp_path):
    archive, folder = tmp_path / "archive", tmp_path / "jpg"
    archive.write_bytes(tar({"x": b"1"}))
    leftover = tmp_path / ".jpg.unpacking"
    leftover.mkdir()
    (leftover / "half").write_bytes(b"")
    unpack([archive], folder)
    assert [path.name for path in folder.iterdir()] == ["x"]
    assert not leftover.exists()
