import pytest

from mdir.scenario.cli import main
from mdir.stages import STEPS, download
from tests.cirtorch.small_mirror import CID, world


@pytest.mark.parametrize("name", ["download_train", "download_test"])
def test_published_steps_hand_over_the_data_folder(root, monkeypatch, name):
    seen = []
    monkeypatch.setattr(f"cirtorch.utils.download.{name}", seen.append)
    assert getattr(download, name)({"anything": 1})[0] is None
    assert seen == [str(root / "data")]


@pytest.mark.parametrize(
    ("name", "parts"),
    [("rsfm120k", ("train", "day_night")), ("roxf5k_rpar6k_247tokyo1k", ("test",))],
)
def test_day_night_steps(root, monkeypatch, name, parts):
    seen = []
    monkeypatch.setattr("cirtorch.utils.download.download_parts", lambda *given: seen.append(given))
    assert getattr(download, name)({})[0] is None
    assert seen == [(str(root / "data"), *parts)]


def test_all_download_steps_are_known():
    places = [entry.place for name, entry in STEPS.items() if ".download." in name]
    assert sorted(place.rpartition(":")[2] for place in places) == [
        "download_test",
        "download_train",
        "roxf5k_rpar6k_247tokyo1k",
        "rsfm120k",
    ]


def test_download_target_of_a_scenario(root, tmp_path, monkeypatch, capsys):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for name, content in world().items():
        (mirror / name).write_bytes(content)
    monkeypatch.setenv("CIRTORCH_MIRROR", str(mirror))
    command = ["download", "iccv23/train/hedngan.yml"]
    assert main(command) == 0
    assert (root / "data/val/day_night/1.jpg").read_bytes() == b"picture"
    assert (root / "data/test/rparis6k/jpg/c.jpg").exists()
    (root / "data/train/retrieval-SfM-120k/ims/8a/b3/ab" / CID).unlink()
    assert main(command) == 0
    assert (root / "data/val/day_night/1.jpg").exists()


def test_a_damaged_archive_ends_the_step_in_a_line(root, tmp_path, monkeypatch, capsys):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for name, content in world().items():
        (mirror / name).write_bytes(content)
    archive = bytearray((mirror / "ims.tar.gz").read_bytes())
    archive[-7] ^= 1
    (mirror / "ims.tar.gz").write_bytes(archive)
    monkeypatch.setenv("CIRTORCH_MIRROR", str(mirror))
    assert main(["download", "iccv23/train/hedngan.yml"]) == 1
    message = capsys.readouterr().err
    place = root / "data/train/retrieval-SfM-120k/ims.tar.gz"
    assert f"{place}: cannot be unpacked (BadGzipFile: CRC check failed" in message
    assert not place.exists() and not (place.parent / "ims").exists()
