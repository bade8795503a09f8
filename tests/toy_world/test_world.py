"""The toy world: deterministic, in the real layouts, never over a stranger's file."""

import json
import os
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cirtorch.utils.safe_pickle import load_pickle
from mdir.errors import UserError
from mdir.photos.index import read_photos
from mdir.toy_world.layouts import Shot, Sizes
from mdir.toy_world.places import Place, generator
from mdir.toy_world.view import draw_view
from mdir.toy_world.world import MANIFEST, write_toy_world

SMALL = Sizes(64, 3, 2, 4, 4, 2, 2)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_toy_world(folder, 0, SMALL)
    return folder


def shot(condition, seed=0, place=0):
    view = draw_view(generator(seed, place))
    return Shot(Place(seed, "train", place), view, condition, (96, 72)).take()


def test_pictures_depend_on_nothing_but_the_seed():
    assert np.array_equal(shot("night"), shot("night"))
    assert not np.array_equal(shot("night"), shot("night", seed=1))


def test_night_is_darker_than_sunset_and_sunset_than_day():
    for place in range(6):
        day, sunset, night = (shot(name, place=place).mean() for name in ("day", "sunset", "night"))
        assert night < sunset < day and night < 0.6 * day


def test_places_of_two_splits_differ_and_kinds_take_turns():
    kinds = {Place(0, "train", number).kind for number in range(12)}
    assert len(kinds) == 12
    view = draw_view(generator(0))
    train, test = (Shot(Place(0, s, 0), view, "day", (96, 72)).take() for s in ("train", "test"))
    assert np.abs(train.astype(int) - test).mean() > 5


def test_training_pickles_point_at_pictures_that_are_there(world):
    folder = world / "data/train/retrieval-SfM-120k"
    databases = load_pickle(folder / "retrieval-SfM-120k.pkl")
    for database in (databases["train"], databases["val"]):
        assert len(database["cids"]) == len(database["cluster"]) == len(set(database["cids"]))
        for query, positive in zip(database["qidxs"], database["pidxs"], strict=True):
            assert query != positive
            assert database["cluster"][query] == database["cluster"][positive]
        for cid in database["cids"]:
            path = folder / "ims" / cid[-2:] / cid[-4:-2] / cid[-6:-4] / cid
            with Image.open(path) as image:
                assert max(image.size) == SMALL.image_size
    assert set(load_pickle(folder / "retrieval-SfM-120k-whiten.pkl")) == {"cids", "qidxs", "pidxs"}


def test_lists_hold_day_and_night(world):
    folder = world / "data/train/retrieval-SfM-120k"
    brightness = {}
    for condition in ("day", "night"):
        names = (folder / f"dataset/train_{condition}.txt").read_text().split()
        assert len(names) == 3 * (4 if condition == "day" else 2)
        brightness[condition] = np.mean([np.mean(Image.open(folder / "ims" / n)) for n in names])
    assert brightness["night"] < 0.6 * brightness["day"]
    for number in range(1, 5):
        assert (world / f"data/val/day_night/{number}.jpg").is_symlink()
        Image.open(world / f"data/val/day_night/{number}.jpg").verify()


@pytest.mark.parametrize(("share", "nights"), [(0, 0), (0.4, 2), (1, 6)])
def test_nights_of_a_share_of_the_places_are_in_the_tuples(tmp_path, share, nights):
    sizes = replace(SMALL, test_places=2, pairs=2, night_share=share)
    write_toy_world(tmp_path, 0, sizes)
    folder = tmp_path / "data/train/retrieval-SfM-120k"
    listed = {
        condition: {
            name.rpartition("/")[2]
            for name in (folder / f"dataset/train_{condition}.txt").read_text().split()
        }
        for condition in ("day", "night")
    }
    assert len(listed["night"]) == 6 and len(listed["day"]) == 12
    database = load_pickle(folder / "retrieval-SfM-120k.pkl")["train"]
    assert len(set(database["cids"]) & listed["night"]) == nights
    assert set(database["cids"]) - listed["night"] == listed["day"]
    pairs = list(zip(database["qidxs"], database["pidxs"], strict=True))
    assert {query for query, _ in pairs} == set(range(12 + nights))
    assert all(database["cluster"][query] == database["cluster"][found] for query, found in pairs)
    assert load_pickle(folder / "retrieval-SfM-120k-whiten.pkl")["cids"] == database["cids"]


@pytest.mark.parametrize("name", ["roxford5k", "rparis6k", "oxford5k", "paris6k", "247tokyo1k"])
def test_ground_truths_name_pictures_that_are_there(world, name):
    truth = load_pickle(world / f"data/test/{name}/gnd_{name}.pkl")
    assert len(truth["gnd"]) == len(truth["qimlist"]) > 0
    for entry in (*truth["imlist"], *truth["qimlist"]):
        assert (world / f"data/test/{name}/jpg/{entry}.jpg").exists()
    for query, entry in zip(truth["qimlist"], truth["gnd"], strict=True):
        lists = [entry[key] for key in ("ok", "easy", "hard", "junk") if key in entry]
        judged = [index for positions in lists for index in positions]
        assert len(judged) == len(set(judged)) and max(judged) < len(truth["imlist"])
        if entry["bbx"] is not None:
            with Image.open(world / f"data/test/{name}/jpg/{query}.jpg") as image:
                width, height = image.size
            left, top, right, bottom = entry["bbx"]
            assert 0 <= left < right <= width and 0 <= top < bottom <= height
        own = query.rsplit("_", 1)[0]
        if name != "247tokyo1k":
            assert all(truth["imlist"][i].startswith(own) for i in judged)


def test_city_tables_ask_by_night_and_by_day(world):
    folder = world / "data/test/city"
    names = (folder / "db.tsv").read_text().splitlines()
    assert names[0] == "identifier"
    for condition in ("night", "day"):
        header, *rows = (folder / f"{condition}_to_day.tsv").read_text().splitlines()
        assert header.split("\t") == ["query", "bbx", "ok", "junk"]
        for row in rows:
            query, box, ok, junk = row.split("\t")
            assert (folder / f"jpg/{query}.jpg").exists() and box == "" and json.loads(junk) == []
            assert query not in names and set(json.loads(ok)) < set(names)


def test_the_city_is_a_folder_of_photographs(world):
    photos = read_photos(world / "data/test/city")
    names = {f"jpg/{path.name}" for path in (world / "data/test/city/jpg").iterdir()}
    assert {photo.name for photo in photos} == names and len(photos) == len(names)
    for photo in photos:
        name = photo.name.removeprefix("jpg/")
        assert photo.condition == ("night" if name.startswith("query_night") else "day")
        assert photo.landmark is None if name.startswith("other") else photo.landmark in name


def test_domains_are_aligned_by_name(world):
    original, generated = world / "data/tokyo/original", world / "data/tokyo/generated"
    for split, count in (("train", 2), ("val", 1)):
        for folder in (original, generated):
            day = sorted(p.name.removeprefix("day_") for p in (folder / "day" / split).iterdir())
            night = sorted(
                p.name.removeprefix("night_") for p in (folder / "night" / split).iterdir()
            )
            assert day == night and len(day) == count
        clear, fog = (
            sorted(os.listdir(world / f"data/cityscapes/{split}/{d}")) for d in ("clear", "fog")
        )
        assert clear == fog and len(clear) == count


def test_a_complete_world_is_left_alone_and_a_deleted_picture_comes_back(tmp_path):
    manifest = write_toy_world(tmp_path, 0, SMALL)
    stamps = {path: (tmp_path / path).lstat().st_mtime_ns for path in manifest["files"]}
    time.sleep(0.01)
    assert write_toy_world(tmp_path, 0, SMALL) == manifest
    assert stamps == {path: (tmp_path / path).lstat().st_mtime_ns for path in manifest["files"]}
    lost = next(path for path in manifest["files"] if path.endswith(".jpg"))
    os.unlink(tmp_path / lost)
    assert write_toy_world(tmp_path, 0, SMALL) == manifest
    assert (tmp_path / lost).exists()
    other = write_toy_world(tmp_path, 1, SMALL)
    there = {os.path.relpath(path, tmp_path) for path in files_and_links(tmp_path)}
    assert there == {MANIFEST, *other["files"]}


def files_and_links(folder):
    return [p for p in folder.rglob("*") if p.is_symlink() or p.is_file()]


def test_files_of_others_are_never_overwritten(tmp_path):
    stranger = tmp_path / "data/test/city/db.tsv"
    stranger.parent.mkdir(parents=True)
    stranger.write_text("mine")
    with pytest.raises(UserError, match=r"db\.tsv: is there already"):
        write_toy_world(tmp_path, 0, SMALL)
    assert stranger.read_text() == "mine"
    assert files_and_links(tmp_path) == [stranger]


def test_changed_files_are_not_overwritten(tmp_path):
    manifest = write_toy_world(tmp_path, 0, SMALL)
    table = tmp_path / "data/test/city/db.tsv"
    table.write_text("edited")
    with pytest.raises(UserError, match=r"db\.tsv: was changed"):
        write_toy_world(tmp_path, 1, SMALL)
    assert json.loads((tmp_path / MANIFEST).read_text()) == manifest
