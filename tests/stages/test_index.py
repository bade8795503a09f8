"""Step index: made, brought up to date, refused; payloads by a table and EXIF."""

import json
import os

import numpy as np
import pytest
from PIL import ExifTags, Image

from cirtorch.search.index import open_index
from mdir.artifacts import collecting
from mdir.errors import USER_ERRORS
from mdir.photos.payload import exif_payload
from mdir.registry import ComponentError
from mdir.stages.index import index
from tests.stages.test_search import write_shards

VECTORS = {"a.jpg": [1, 0], "b.jpg": [0, 1], "sub/c.jpg": [0, 1], "d.jpg": [0.6, 0.8]}


@pytest.fixture
def params(root):
    images = root / "images"
    (images / "sub").mkdir(parents=True)
    for name in VECTORS:
        Image.new("RGB", (4, 4)).save(images / name)
    write_shards(root / "db", VECTORS, images=str(images))
    return {"database": "db", "directory": "index"}


def found(root, query, where=None):
    opened = open_index(root / "index")
    ids, _ = opened.search(np.array([query], dtype=np.float32), 10, where)
    return [os.path.relpath(one["path"], root / "images") for one in opened.payload(ids[0])]


def test_made_and_found(params, root, capsys):
    with collecting() as told:
        (metadata,) = index(params)
    assert metadata == {
        "index": str(root / "index"),
        "engine": "exact",
        "images": 4,
        "dimensions": 2,
        "added": 4,
        "removed": 0,
        "missing": 0,
        "details": {},
    }
    assert told.inputs == [str(root / "db")] and told.outputs == [str(root / "index")]
    assert found(root, [0, 1]) == ["b.jpg", "sub/c.jpg", "d.jpg", "a.jpg"]
    assert capsys.readouterr().err == ""


def test_another_folder_adds_and_a_list_removes(params, root):
    index(params)
    write_shards(root / "more", {"e.jpg": [0, 2], "f.jpg": [2, 0]}, images=str(root / "images"))
    (root / "images" / "gone.txt").write_text("b.jpg\n" + str(root / "images/e.jpg"))
    params |= {"database": ["db", "more"], "without": "images/gone.txt"}
    (metadata,) = index(params)
    assert (metadata["added"], metadata["removed"], metadata["images"]) == (2, 2, 4)
    assert found(root, [0, 1]) == ["sub/c.jpg", "d.jpg", "a.jpg", "f.jpg"]
    (metadata,) = index(params)
    assert (metadata["added"], metadata["removed"], metadata["images"]) == (0, 0, 4)


def test_images_that_are_gone_are_told(params, root, capsys):
    (root / "images" / "b.jpg").unlink()
    (metadata,) = index(params)
    assert metadata["missing"] == 1 and found(root, [0, 1])[0] == "b.jpg"
    told = capsys.readouterr().err
    assert "1 of 4 images are not where they were" in told and "images/b.jpg" in told


def test_payloads_of_a_table(params, root, capsys):
    (root / "images" / "index.csv").write_text(
        "path,landmark,condition,date,camera\n"
        "a.jpg,tower,day,2015-06-30,x\nsub/c.jpg,,night,2015-06-30 22:10:00,\nother.jpg,,,,\n"
    )
    index({**params, "payload": "images/index.csv"})
    assert "2 of 4 images have no row in" in capsys.readouterr().err
    assert found(root, [0, 1], {"condition": {"not": "day"}}) == ["b.jpg", "sub/c.jpg", "d.jpg"]
    assert found(root, [0, 1], {"date": "2015-06-30"}) == ["sub/c.jpg", "a.jpg"]
    assert found(root, [0, 1], {"place": "tower"}) == ["a.jpg"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path,weather\na.jpg,rain\n", "must name path and some of condition, place"),
        ("path,place,landmark\na.jpg,a,b\n", "each once"),
        ("path,date\na.jpg,30.6.2015\n", "index.csv:2: .* a date is YYYY-MM-DD"),
        ("path,place\na.jpg,a\n./a.jpg,b\n", "index.csv:3: ./a.jpg stands twice"),
        ("name,place\na.jpg,a\n", "missing column path"),
    ],
)
def test_tables_that_cannot_be_read(params, root, table, message):
    (root / "images" / "index.csv").write_text(table)
    with pytest.raises(USER_ERRORS, match=message):
        index({**params, "payload": "images/index.csv"})
    assert not (root / "index").exists()


def test_date_and_place_of_exif(params, root):
    exif = Image.Exif()
    exif[ExifTags.Base.DateTime] = "2015:06:30 22:10:05"
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitudeRef], gps[ExifTags.GPS.GPSLongitudeRef] = "N", "W"
    gps[ExifTags.GPS.GPSLatitude], gps[ExifTags.GPS.GPSLongitude] = (50, 30, 0), (14, 15, 0)
    Image.new("RGB", (4, 4)).save(root / "images/a.jpg", exif=exif)
    index(params)
    assert found(root, [0, 1], {"latitude": {"from": 50, "to": 51}}) == ["a.jpg"]
    opened = open_index(root / "index")
    (told,) = opened.payload([opened.find(str(root / "images/a.jpg"))])
    assert told["date"] == "2015-06-30T22:10:05"
    assert (told["latitude"], told["longitude"]) == (50.5, -14.25)
    assert exif_payload(str(root / "images/b.jpg")) == {"date": None}
    assert exif_payload(str(root / "db/0.npy")) == {}


def test_an_index_of_another_network_is_not_touched(params, root):
    index(params)
    write_shards(root / "db", VECTORS, network="other", images=str(root / "images"))
    with pytest.raises(USER_ERRORS, match="is of another network.* Remove .*/index to make"):
        index(params)
    assert len(open_index(root / "index")) == 4
    with collecting(made=[str(root / "index")]):
        (metadata,) = index(params)
    assert metadata["added"] == 4 and open_index(root / "index").about.network == "other"


def test_what_was_added_by_hand_is_not_lost(params, root):
    index(params)
    open_index(root / "index").add(np.ones((1, 2)), [{"path": "/by/hand.jpg"}])
    assert index(params)[0]["images"] == 5
    write_shards(root / "db", {"a.jpg": [1, 1], "b.jpg": [0, 1]}, images=str(root / "images"))
    with (
        collecting(made=[str(root / "index")]),
        pytest.raises(USER_ERRORS, match="descriptors .* changed .*holds 1 images that were added"),
    ):
        index(params)
    params["database"] = []
    with pytest.raises(USER_ERRORS, match="names no folder"):
        index(params)


def test_folders_that_do_not_go_together(params, root):
    write_shards(root / "more", {"e.jpg": [0, 2], "f.jpg": [2, 0]}, network="other")
    with pytest.raises(USER_ERRORS, match="are of different networks"):
        index({**params, "database": ["db", "more"]})
    write_shards(root / "more", {"e.jpg": [0, 2], "f.jpg": [2, 0]})
    told = json.loads((root / "more/shards.json").read_text())
    (root / "more/shards.json").write_text(json.dumps({**told, "preprocessing": {"upright": True}}))
    with pytest.raises(USER_ERRORS, match="were read in different ways"):
        index({**params, "database": ["db", "more"]})
    write_shards(root / "more", {"e.jpg": [0, 2], "f.jpg": [2, 0]}, network=None)
    with pytest.raises(USER_ERRORS, match="does not tell which network"):
        index({**params, "database": ["db", "more"]})
    write_shards(root / "more", {"a.jpg": [0, 2], "f.jpg": [2, 0]}, images=str(root / "images"))
    with pytest.raises(USER_ERRORS, match="images/a.jpg already"):
        index({**params, "database": ["db", "more"]})


def test_too_few_images_for_a_quantizer_are_told_and_searched_exactly(params, root, capsys):
    (metadata,) = index({**params, "engine": "ivfpq"})
    assert "index: 4 images are too few to train a quantizer" in capsys.readouterr().out
    assert metadata["engine"] == "ivfpq"
    assert metadata["details"] == {"searched": "exactly, too few images for a quantizer"}
    assert found(root, [0, 1]) == ["b.jpg", "sub/c.jpg", "d.jpg", "a.jpg"]
    with pytest.raises(USER_ERRORS, match="has the engine ivfpq, not exact. Remove"):
        index(params)


def test_qdrant_in_this_process(params, root):
    pytest.importorskip("qdrant_client")
    for added in (4, 0):
        (metadata,) = index({**params, "engine": "qdrant"})
        assert (metadata["images"], metadata["added"]) == (4, added)
    opened = open_index(root / "index")
    assert [told["path"] for told in opened.payload([0])] == [str(root / "images/a.jpg")]
    assert opened.search(np.array([[0, 1]], np.float32), 4)[0].tolist() == [[1, 2, 3, 0]]
    opened.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": "http://host:6333"}, "is for the engine qdrant, the engine is exact"),
        ({"engine": "qdrant", "url": "host:6333"}, "expected http://HOST:PORT"),
        ({"engine": "qdrant", "url": "https://me:secret@host"}, "must not hold a key"),
        ({"recall": 1.5}, "a number from 0 to 1"),
    ],
)
def test_parameters_that_do_not_fit(params, root, change, message):
    with pytest.raises(ComponentError, match=message):
        index({**params, **change})
    assert not (root / "index").exists()
