"""The step that takes one's own photographs."""

import pytest

from mdir.artifacts import collecting
from mdir.errors import UserError
from mdir.stages.photos.photos import photos as photos_step
from tests.photos.test_photos import GOOD, album


def test_writes_beside_the_photographs_never_among_them(photos, root):
    before = {path: path.stat().st_mtime_ns for path in photos.rglob("*")}
    with collecting() as artifacts:
        metadata, *_ = photos_step({"photos": str(photos), "directory": "mine/lists"})
    assert metadata["day"] == str(root / "mine/lists/day.txt")
    assert str(root / "mine/lists") in artifacts.outputs
    assert artifacts.inputs == [str(photos.resolve() / "index.csv")]
    assert len(artifacts.files[str(photos.resolve())]) == 88
    assert before == {path: path.stat().st_mtime_ns for path in photos.rglob("*")}
    with pytest.raises(UserError, match="lies among the photographs"):
        photos_step({"photos": str(photos), "directory": str(photos / "lists")})


def test_says_how_to_give_the_folder(root):
    with pytest.raises(
        UserError, match="give the folder of the photographs: TARGET.00_settings.photos=FOLDER"
    ):
        photos_step({"photos": None, "directory": "x"})


def test_one_night_query_is_told(root, tmp_path, capsys):
    folder = album(tmp_path / "photos", [*GOOD, "a/4.jpg,tower,night"])
    metadata, *_ = photos_step({"photos": str(folder), "directory": "two"})
    assert metadata["night_queries"] == 2 and "warning" not in metadata
    folder = album(tmp_path / "photos", GOOD)
    metadata, *_ = photos_step({"photos": str(folder), "directory": "one"})
    assert "one night photograph alone" in metadata["warning"]
    assert metadata["warning"] in capsys.readouterr().out


def test_no_other_place_to_learn_a_whitening_from_is_told(root, tmp_path, capsys):
    folder = album(tmp_path / "photos", GOOD)
    photos_step({"photos": str(folder), "directory": "none"})
    assert "others-whiten.pkl is empty" in capsys.readouterr().out
    folder = album(tmp_path / "photos", [*GOOD, "d/1.jpg,bridge,day", "d/2.jpg,bridge,day"])
    metadata, *_ = photos_step({"photos": str(folder), "directory": "some"})
    assert metadata["whitening_pairs_of_others"] == 2
    assert "others-whiten.pkl" not in capsys.readouterr().out
