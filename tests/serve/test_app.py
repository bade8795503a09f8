"""The JSON: what is found, shown, translated and added; what is refused, and in which words."""

import io
import json

import pytest
from PIL import Image

from tests.serve.conftest import CONDITIONS, jpeg


def found(answer):
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["results"]]


def file_of(world, number):
    return (world.root / f"images/place{number // 2}/{number}.jpg").read_bytes()


def test_an_image_of_the_index_finds_itself(world, server):
    for number in (0, 1):  # the second is turned by its EXIF
        answer = server.post("/search", file_of(world, number), k=3).json()["results"]
        assert answer[0]["id"] == number
        assert answer[0]["score"] == pytest.approx(1, abs=1e-5)
        assert [one["score"] for one in answer] == sorted(
            (o["score"] for o in answer), reverse=True
        )
    assert answer[0] == {
        "id": 1,
        "name": "place0/1.jpg",
        "place": "bridge",
        "condition": "night",
        "date": None,
        "latitude": None,
        "longitude": None,
        "score": answer[0]["score"],
    }


def test_by_id_it_is_left_out_and_told(world, server):
    answer = server.post("/search", id=3, k=200)
    assert sorted(found(answer)) == [0, 1, 2, 4, 5, 6]
    assert answer.json()["query"]["condition"] == "dusk"
    by_file = server.post("/search", file_of(world, 3), k=200)
    assert found(by_file) == [3, *found(answer)]


def by_id(answer):
    assert answer.status_code == 200, answer.text
    return {one["id"]: one["score"] for one in answer.json()["results"]}


def test_a_box_is_cut_out_of_the_turned_picture(world, server):
    with Image.open(world.root / "images/place0/1.jpg") as stored:
        upright = stored.transpose(Image.Transpose.ROTATE_270)
    part, png = upright.crop((0, 0, upright.width // 2, upright.height // 2)), io.BytesIO()
    part.save(png, "PNG")
    box = [0, 0, part.width / upright.width, part.height / upright.height]
    boxed = by_id(server.post("/search", file_of(world, 1), k=200, box=json.dumps(box)))
    assert boxed == pytest.approx(by_id(server.post("/search", png.getvalue(), k=200)), abs=1e-5)
    assert boxed[1] < 0.99
    del boxed[1]
    found = server.post("/search", id=1, k=200, box=json.dumps(box))
    assert by_id(found) == pytest.approx(boxed, abs=1e-5)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"condition": "night"}, {1, 4}),
        ({"condition": ["night", "dusk"]}, {1, 3, 4}),
        ({"condition": {"not": "day"}}, {1, 3, 4, 6}),
        ({"place": "bridge", "condition": "day"}, {2, 5}),
        ({"condition": "fog"}, set()),
        ({}, set(range(7))),
    ],
)
def test_filters(server, where, expected):
    assert set(found(server.post("/search", jpeg(), k=50, filter=json.dumps(where)))) == expected


def test_health(server):
    told = server.get("/health").json()
    assert told["status"] == "ok" and told["images"] >= len(CONDITIONS)
    assert {"day", "dusk", "night"} <= set(told["conditions"])
    assert told["translations"] == ["night"] and told["engine"] == "exact"
    assert told["limits"] == {"bytes": 1 << 20, "pixels": 10**6, "k": 200}


def test_images_are_shown_upright_and_tell_nothing_else(world, server):
    shown = server.get("/image/1?size=small")
    assert shown.headers["content-type"] == "image/jpeg"
    image = Image.open(io.BytesIO(shown.content))
    with Image.open(world.root / "images/place0/1.jpg") as stored:
        assert image.size == stored.size[::-1] and not image.getexif()
        assert stored.info["comment"] == b"secret" and "comment" not in image.info


def test_a_translation(server):
    for fields in ({"image": jpeg(3)}, {"id": 2}):
        answer = server.post("/translate", to="night", **fields)
        assert answer.status_code == 200, answer.text
        assert Image.open(io.BytesIO(answer.content)).format == "JPEG"
    answer = server.post("/translate", jpeg(3), to="fog")
    assert answer.status_code == 404
    assert answer.json() == {"error": "there is no such translation; there are: night"}


def test_an_added_picture_is_found_with_what_was_told_and_what_exif_tells(world, server):
    exif = Image.Exif()
    exif[0x0132] = "2015:06:30 22:10:05"
    picture = jpeg(77, exif=exif)
    fields = {"place": "<i>new</i>", "condition": "night", "latitude": "50.5", "longitude": ""}
    answer = server.post("/images", picture, **fields)
    assert answer.status_code == 201
    number = answer.json()["id"]
    best = server.post("/search", picture, k=1).json()["results"][0]
    assert best["id"] == number and best["score"] == pytest.approx(1, abs=1e-5)
    assert (best["place"], best["condition"]) == ("<i>new</i>", "night")
    assert (best["date"], best["latitude"], best["longitude"]) == (
        "2015-06-30T22:10:05",
        50.5,
        None,
    )
    (kept,) = (world.root / "index/images").iterdir()
    assert kept.read_bytes() == picture and kept.suffix == ".jpg"
    assert server.get(f"/image/{number}").status_code == 200
    again = server.post("/images", picture)
    assert again.status_code == 409
    assert again.json()["error"] == f"the picture is in the index already, as image {number}"
    world.searching.index.remove([number])
    assert number not in found(server.post("/search", picture, k=200))
    assert server.get(f"/image/{number}").status_code == 404


def test_nothing_is_left_of_a_picture_that_cannot_be_added(world, server, monkeypatch):
    folder = world.root / "index/images"
    before = sorted(folder.iterdir()) if folder.exists() else []
    monkeypatch.setattr(type(world.searching.index), "add", lambda *_: 1 / 0)
    answer = server.post("/images", jpeg(78))
    assert answer.status_code == 500
    assert answer.json() == {"error": "this went wrong; the server's console tells what"}
    assert sorted(folder.iterdir()) == before


def test_a_file_that_is_gone(world, server):
    path = world.root / "images/place3/6.jpg"
    content = path.read_bytes()
    path.unlink()
    try:
        answer = server.get("/image/6?size=small")
        assert answer.status_code == 404
        words = "the file of image 6: it is no longer where it was"
        assert answer.json() == {"error": words}
        assert server.post("/search", id=6, box="[0,0,1,0.5]").json() == {"error": words}
        assert world.searching.missing() == 1
        assert 6 in found(server.post("/search", jpeg(6), k=200))
        assert 6 not in found(server.post("/search", id=6, k=200))
    finally:
        path.write_bytes(content)


JPEG = jpeg(5, (400, 300))
BAD = {
    "nothing": ({"k": 3}, 400, "give an image, or the id of one"),
    "both": ({"image": JPEG, "id": 1}, 400, "give an image, or the id of one"),
    "empty": ({"image": b""}, 400, "image is a file, and not an empty one"),
    "no picture": ({"image": b"<svg>" * 9}, 422, "this is no picture, or of another kind than"),
    "tiff": ({"image": jpeg(format="TIFF")}, 422, "BMP, GIF, JPEG, PNG, WEBP"),
    "cut short": ({"image": JPEG[: len(JPEG) // 2]}, 422, "damaged or cut short"),
    "png cut short": ({"image": jpeg(format="PNG")[:300]}, 422, "damaged or cut short"),
    "pixels": (
        {"image": jpeg(size=(1001, 1000))},
        422,
        "the picture has 1001 x 1000 pixels; at most 1 million are taken",
    ),
    "id": ({"id": 7000}, 404, "there is no such image in the index"),
    "negative": ({"id": -1}, 404, "there is no such image"),
    "long id": ({"id": "9" * 50}, 404, "there is no such image"),
    "path as id": ({"id": "../../etc/passwd"}, 404, "there is no such image"),
    "k": ({"id": 1, "k": 201}, 400, "k is a whole number from 1 to 200"),
    "k no number": ({"id": 1, "k": "true"}, 400, "k is a whole number"),
    "k no json": ({"id": 1, "k": "x"}, 400, "k is no JSON"),
    "box": ({"id": 1, "box": "[0, 0, 2, 1]"}, 400, "fractions of width and height"),
    "box of nan": ({"id": 1, "box": "[0, 0, NaN, 1]"}, 400, "fractions of width and height"),
    "box turned": ({"id": 1, "box": "[0.5, 0, 0.5, 1]"}, 400, "left must be smaller"),
    "filter": ({"id": 1, "filter": '{"wether": 1}'}, 400, "images have no 'wether'"),
    "filter form": ({"id": 1, "filter": "[1]"}, 400, "expected a mapping"),
    "filter deep": ({"id": 1, "filter": "[" * 9000}, 400, "filter is no JSON"),
    "filter half a character": ({"id": 1, "filter": '{"place": "\\ud800"}'}, 400, "is no JSON"),
    "field too large": ({"id": 1, "filter": "x" * 20000}, 400, "too large fields"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_makes_no_sense_is_told(server, name):
    fields, status, words = BAD[name]
    answer = server.post("/search", **fields)
    assert answer.status_code == status and words in answer.json()["error"], answer.text
    assert "<b>" not in answer.text


def test_what_cannot_be_told_of_a_picture(server):
    for fields, words in (
        ({"date": "yesterday"}, "a date is YYYY-MM-DD"),
        ({"latitude": "91"}, "latitude is a number of degrees"),
        ({"place": "x" * 201}, "at most 200 characters"),
    ):
        answer = server.post("/images", jpeg(79), **fields)
        assert answer.status_code == 400 and words in answer.json()["error"]
    assert server.post("/images", id=1).json() == {"error": "give an image"}


def test_other_addresses(server):
    for path in ("/../../etc/passwd", "/page.py", "/image/", "/docs", "/x"):
        answer = server.get(path)
        assert answer.status_code == 404, path
        assert "error" in answer.json()
    assert server.get("/search").status_code == 405
    assert server.get("/image/1?size=huge").json() == {"error": "size is one of small, large"}
    assert server.session.post(server.address + "/search", json={}).status_code == 415
