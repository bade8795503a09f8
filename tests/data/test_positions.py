"""Positions of images by name, table and EXIF; names as they are written."""

import numpy as np
import pytest
from PIL import ExifTags, Image

from cirtorch.utils.errors import DataError
from mdir.data.place_names import make_name, name_note, name_position, name_zone
from mdir.data.positions import read_positions
from mdir.errors import UserError

PRAGUE = (50.08, 14.42)  # zone 33 U


def photo(path, gps):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(gps)
    Image.new("RGB", (4, 4)).save(path, exif=exif)


def gps(latitude, south, longitude, west):
    return {1: "S" if south else "N", 2: latitude, 3: "W" if west else "E", 4: longitude}


def test_a_name_is_read_as_it_was_written(tmp_path):
    name = make_name(*PRAGUE, pano_id="p-1", heading=7.9, note="night_cph", timestamp="2019")
    assert name.startswith("@0458") and name.count("@") == 15 and "@007@" in name
    folder = "a@b/" + name  # an @ in a folder is none of the name's
    assert name_zone(folder) == ("33", "U") and name_note(folder) == "night_cph"
    found = read_positions("names", tmp_path, [folder])
    assert found.tolist() == [list(name_position(name))] and found.dtype == np.float64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timestamp": "2019-01"}, "no beginning of YYYYMMDD_hhmmss"),
        ({"pano_id": "a@b"}, "'@' separates"),
    ],
)
def test_names_that_are_not_written(options, message):
    with pytest.raises(ValueError, match=message):
        make_name(*PRAGUE, **options)


def test_zones_that_are_none(tmp_path, capsys):
    names = [f"@1@{i}@{zone}@@@@@@@@@@@.jpg" for i, zone in enumerate(("10@S", "x@S", "11@7", "@"))]
    assert [name_zone(name) for name in names] == [("10", "S"), None, None, None]
    assert read_positions("names", tmp_path, [*names, "photo@3@4@.jpg"])[:, 1].tolist() == [
        0, 1, 2, 3, 4
    ]  # fmt: skip
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["a.jpg", "@1@x@.jpg", "@1@2.jpg", "@nan@2@.jpg", "@@@.jpg"])
def test_names_without_a_position(tmp_path, name):
    with pytest.raises(DataError, match=f"1 of 2 images have no position .names.:\n{name}: its"):
        read_positions("names", tmp_path, ["@1@2@.jpg", name])


def test_exif(tmp_path, capsys):
    photo(tmp_path / "a.jpg", gps((50, 4, 48), False, (14, 25, 12), False))
    photo(tmp_path / "b.jpg", gps((27.0, 33.0, 15.55), True, (152.99871, 0, 0), False))
    found = read_positions("exif", tmp_path, ["a.jpg", "b.jpg"])
    expected = [name_position(make_name(*one)) for one in (PRAGUE, (-27.554319, 152.99871))]
    np.testing.assert_allclose(found, expected, atol=0.5)
    assert "several UTM zones (33 north, 56 south)" in capsys.readouterr().err
    photo(tmp_path / "s.jpg", {**gps((27, 0, 0), True, (152, 0, 0), False), 1: "s\0"})
    photo(tmp_path / "n.jpg", gps((27, 0, 0), False, (152, 0, 0), False))
    south, north = read_positions("exif", tmp_path, ["s.jpg", "n.jpg"])[:, 1]
    assert south == pytest.approx(10_000_000 - north)
    photo(tmp_path / "c.jpg", {**gps((27, 0, 0), True, (152, 0, 0), False), 1: "X"})
    photo(tmp_path / "d.jpg", gps((0, 0, 0), False, (0, 0, 0), False))
    (tmp_path / "e.jpg").write_text("no image")
    photo(tmp_path / "f.jpg", gps((95, 0, 0), False, (0, 0, 0), False))
    with pytest.raises(DataError) as refused:
        read_positions("exif", tmp_path, [f"{letter}.jpg" for letter in "abcdef"])
    told = str(refused.value).splitlines()
    for line, words in zip(
        told,
        ("4 of 6 images", "tell no GPS position", "position of 0, 0", "as an image", "latitude"),
        strict=True,
    ):
        assert words in line


@pytest.mark.parametrize("degrees", [True, False])
def test_tables(tmp_path, degrees):
    metres = name_position(make_name(*PRAGUE))
    head, cells = ("longitude,latitude", PRAGUE[::-1]) if degrees else ("east,north", metres)
    table = tmp_path / "p.csv"
    table.write_text(f"{head},file\n{cells[0]},{cells[1]},./a.jpg\n1,1,unused.jpg\n")
    found = read_positions(str(table), tmp_path, ["a.jpg"])
    np.testing.assert_allclose(found, [metres], atol=0.006)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,east\na,1\n", "p.csv:1: the header must name file and either east, north or"),
        ("file,east,north\na,1,2\na,1,2\n", "p.csv:3: a stands twice in it"),
        ("file,east,north\nb,1,2\n", "1 of 1 images have no position"),
        ("file,east,north\na,1,\n", "p.csv:2: north of a is '', not a number"),
        ("file,east,north\na,inf,1\n", "p.csv:2: east of a is 'inf', not a number"),
        ("file,latitude,longitude\na,89,1\n", "p.csv:2: latitude 89.0, longitude 1.0: "),
    ],
)
def test_tables_that_are_refused(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises((DataError, UserError), match=message):
        read_positions(str(tmp_path / "p.csv"), tmp_path, ["a"])
