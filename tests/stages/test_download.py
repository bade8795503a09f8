import pytest

from mdir.stages import STEPS, download


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
    monkeypatch.setattr("mdir.utils.download.download_parts", lambda *given: seen.append(given))
    assert getattr(download, name)({})[0] is None
    assert seen == [(str(root / "data"), *parts)]


def test_all_download_steps_are_known():
    places = [place for name, place in STEPS.items() if ".download." in name]
    assert sorted(place.rpartition(":")[2] for place in places) == [
        "download_test",
        "download_train",
        "roxf5k_rpar6k_247tokyo1k",
        "rsfm120k",
    ]
