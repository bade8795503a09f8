"""The step that takes one's own photographs."""

import pytest

from mdir.artifacts import collecting
from mdir.errors import UserError
from mdir.stages.photos import photos as photos_step


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
        UserError, match="give the folder of the photographs: all.00_settings.photos=FOLDER"
    ):
        photos_step({"photos": None, "directory": "x"})
