"""Own photographs: what is listed, and what is said about bad input."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from cirtorch.utils.safe_pickle import load_pickle
from mdir.errors import UserError
from mdir.photos.index import read_photos
from mdir.photos.lists import write_lists


def picture(path, level=120):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((24, 32, 3), level, np.uint8)).save(path)


def album(folder, rows, header="path,landmark,condition"):
    for row in rows:
        picture(folder / row.split(",")[0])
    (folder / "index.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


GOOD = [
    "a/1.jpg,tower,day",
    "a/2.jpg,tower,day",
    "a/3.jpg,tower,night",
    "b.jpg,,day",
    "c.jpg,,night",
]


def complaint(folder):
    with pytest.raises(UserError) as caught:
        read_photos(folder)
    return str(caught.value)


def test_an_index_becomes_lists_ground_truth_and_pairs(tmp_path):
    folder = album(tmp_path / "photos", GOOD)
    found = write_lists(read_photos(folder), folder, tmp_path / "out")
    assert (found["day_photos"], found["night_photos"], found["night_queries"]) == (3, 2, 1)
    assert Path(found["night"]).read_text() == f"{folder}/a/3.jpg\n{folder}/c.jpg\n"
    header, *rows = (line.split("\t") for line in Path(found["queries"]).read_text().splitlines())
    assert header == ["query", "bbx", "ok", "junk"]
    assert rows == [["a/3.jpg", "", '["a/1.jpg", "a/2.jpg"]', "[]"]]
    training = load_pickle(found["training"])["train"]
    assert training["cids"] == [f"{folder}/a/1.jpg", f"{folder}/a/2.jpg"]
    assert (training["qidxs"], training["pidxs"]) == ([0, 1], [1, 0])
    others = load_pickle(found["whitening_of_others"])
    assert others == {"cids": [], "qidxs": [], "pidxs": []}  # the tower is asked for by night


def test_day_queries_and_the_whitening_of_places_that_no_night_shows(tmp_path):
    rows = [*GOOD, "d/1.jpg,bridge,day", "d/2.jpg,bridge,day"]
    folder = album(tmp_path / "photos", rows)
    found = write_lists(read_photos(folder), folder, tmp_path / "out")
    _, *queries = Path(found["day_queries"]).read_text().splitlines()
    assert [row.split("\t") for row in queries] == [
        ["a/1.jpg", "", '["a/2.jpg"]', '["a/1.jpg"]'],
        ["a/2.jpg", "", '["a/1.jpg"]', '["a/2.jpg"]'],
        ["d/1.jpg", "", '["d/2.jpg"]', '["d/1.jpg"]'],
        ["d/2.jpg", "", '["d/1.jpg"]', '["d/2.jpg"]'],
    ]
    assert load_pickle(found["whitening_of_others"]) == {
        "cids": [f"{folder}/d/1.jpg", f"{folder}/d/2.jpg"],
        "qidxs": [0, 1],
        "pidxs": [1, 0],
    }


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_photograph_taken_with_the_camera_turned_is_used_upright(tmp_path, suffix):
    folder = album(tmp_path / "photos", GOOD)
    pixels = np.zeros((24, 32, 3), np.uint8)
    pixels[:, :16] = 255  # as stored; the camera was turned: this is the top
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    (folder / "a/1.jpg").unlink()
    Image.fromarray(pixels).save(folder / "a/1.jpg", suffix.replace("jpg", "jpeg"), exif=exif)
    before = (folder / "a/1.jpg").read_bytes()
    found = write_lists(read_photos(folder), folder, tmp_path / "out")
    assert found["turned_upright"] == 1
    turned, second, _ = Path(found["day"]).read_text().splitlines()
    assert (folder / "a/1.jpg").read_bytes() == before and second == f"{folder}/a/2.jpg"
    with Image.open(turned) as image:
        assert image.size == (24, 32) and image.getexif().get(ExifTags.Base.Orientation) is None
        assert image.getpixel((12, 4))[0] > 250 and image.getpixel((12, 28))[0] < 5
    assert load_pickle(found["training"])["train"]["cids"][0] == turned
    assert f'["{turned}", "a/2.jpg"]' in Path(found["queries"]).read_text()


def test_a_photograph_of_which_the_camera_does_not_know_how_it_was_held_stays(tmp_path):
    folder, exif = album(tmp_path / "photos", GOOD), Image.Exif()
    exif[ExifTags.Base.Orientation] = 0
    Image.new("RGB", (32, 24)).save(folder / "a/1.jpg", exif=exif)
    assert write_lists(read_photos(folder), folder, tmp_path / "out")["turned_upright"] == 0


def test_folders_of_places_need_no_index(tmp_path):
    for name in ("tower/1.jpg", "tower/night/2.png", "gate/day/3.jpg", "gate/4.JPG"):
        picture(tmp_path / name)
    (tmp_path / "tower/notes.txt").write_text("not a picture")
    found = {(p.name, p.landmark, p.condition) for p in read_photos(tmp_path)}
    assert found == {
        ("tower/1.jpg", "tower", "day"),
        ("tower/night/2.png", "tower", "night"),
        ("gate/day/3.jpg", "gate", "day"),
        ("gate/4.JPG", "gate", "day"),
    }


def test_all_problems_come_in_one_message(tmp_path):
    folder = album(tmp_path, [*GOOD, "d.jpg,alone,day", "e.jpg,,dusk", "b.jpg,,day", "f.jpg,,day"])
    (folder / "f.jpg").write_bytes(b"no picture")
    (folder / "c.jpg").unlink()
    lines = complaint(folder).splitlines()
    index = folder / "index.csv"
    assert lines[0] == f"{index}:9: b.jpg is listed twice, first at {index}:5"
    assert lines[1].startswith(f"{index}:7: landmark 'alone' has a single photograph")
    assert lines[2] == f"{index}:6: no such photograph: {folder}/c.jpg"
    assert lines[3] == f"{index}:8: unknown condition 'dusk' of e.jpg. Allowed: day, night"
    assert lines[4].startswith(f"{index}:10: {folder}/f.jpg is not a readable picture")
    assert len(lines) == 5


def test_an_index_without_photographs_or_columns(tmp_path):
    assert "lists no photographs" in complaint(album(tmp_path, []))
    assert "missing column condition" in complaint(album(tmp_path, [], "path,landmark"))
    (tmp_path / "index.csv").write_bytes(b"\xff\xfe\x00")
    assert "not a readable CSV file" in complaint(tmp_path)
    (tmp_path / "index.csv").unlink()
    assert "neither an index.csv nor a sub-folder" in complaint(tmp_path)
    assert "no such folder" in complaint(tmp_path / "nowhere")


def test_queries_and_both_conditions_are_needed(tmp_path):
    only_day = album(tmp_path / "day", ["1.jpg,a,day", "2.jpg,a,day"])
    with pytest.raises(UserError, match="no night photographs"):
        write_lists(read_photos(only_day), only_day, tmp_path / "out")
    rows = ["1.jpg,a,day", "2.jpg,a,day", "3.jpg,b,night", "4.jpg,b,night"]
    apart = album(tmp_path / "apart", rows)
    with pytest.raises(UserError, match="has no query"):
        write_lists(read_photos(apart), apart, tmp_path / "out")


def test_real_photographs(photos, tmp_path):
    found = write_lists(read_photos(photos), photos, tmp_path)
    assert found["night_photos"] == found["night_queries"] == 13
    assert found["day_photos"] == 75
    assert len(list((tmp_path / "examples").iterdir())) == 4


def test_marks_spaces_and_cells_too_many(tmp_path, capsys):
    album(tmp_path, GOOD)
    rows = ["\ufeffpath , landmark,condition ", *GOOD[:4], "c.jpg , ,night ,by phone"]
    (tmp_path / "index.csv").write_bytes("\r\n".join(rows).encode())
    assert [photo.name for photo in read_photos(tmp_path)] == [row.split(",")[0] for row in GOOD]
    assert "index.csv: rows with more cells than the header: 1 (row 5)" in capsys.readouterr().err
