"""The toy world's pedestrians and vehicles: who they are, who sees them, where it all lies."""

import time

import numpy as np
import pytest
from PIL import Image

from mdir.artifacts import collecting
from mdir.data.datasets.reid import ReidImages
from mdir.registry import ComponentError
from mdir.stages.prepare_reid import prepare_reid
from mdir.stages.toy_world import toy_reid
from mdir.toy_world.persons import CLOTHES, Person
from mdir.toy_world.reid import LOOKS, ReidSizes, Sighting, write_toy_reid
from mdir.toy_world.surveillance import Camera
from mdir.toy_world.vehicles import Vehicle

SMALL = ReidSizes(height=48, identities=3, test_identities=2, cameras=2, images=2)
OPTIONS = {"vehicleid": {"test_size": 2, "complete": False}}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reid")
    write_toy_reid(folder, LOOKS, 0, SMALL)
    return folder


@pytest.mark.parametrize("name", LOOKS)
def test_each_set_is_read_as_the_real_one(world, name, capsys):
    found, *_ = prepare_reid(
        {"set": name, "image_dir": str(world / "data" / name), **OPTIONS.get(name, {})}
    )
    cameras = 1 if name == "vehicleid" else 2
    assert found["train"] == {"identities": 3, "images": 12, "cameras": cameras}
    if name == "vehiclex":
        assert set(found) == {"train", "warnings"}
        return
    expected = {"market1501": (3, 8), "vehicleid": (2, 2)}.get(name, (2, 4))
    assert (found["gallery"]["identities"], found["gallery"]["images"]) == expected
    assert found["query"]["identities"] == 2 and found["queries_without_match"] == 0
    assert [text[:16] for text in found["warnings"]] == ["tells no cameras"] * (cameras == 1)


def test_pictures_are_of_one_size_a_kind(world):
    for name, size in (("market1501", (24, 48)), ("veri", (48, 36))):
        found = ReidImages(lambda image: image.size, set=name, image_dir=str(world / "data" / name))
        assert {image for image, _ in map(found.__getitem__, range(len(found)))} == {size}


def test_msmt17_trains_on_both_lists_and_counts_its_test_anew(world):
    folder = world / "data/msmt17"
    train = ReidImages(None, set="msmt17", image_dir=str(folder))
    assert train.identities == sorted([0, 1, 2] * 4)
    listed = (folder / "MSMT17_V1/list_val.txt").read_text().splitlines()
    assert len(listed) == 6 and listed[0].endswith("_1.jpg 0")
    assert set(ReidImages(None, set="msmt17", image_dir=str(folder), split="query").identities) == {
        0, 1
    }  # fmt: skip


def test_only_what_is_asked_for_is_drawn_and_once(tmp_path):
    first = write_toy_reid(tmp_path, ["personx"], 3, SMALL)
    assert all(path.startswith("data/personx/PersonX/") for path in first["files"])
    stamps = {path: (tmp_path / path).stat().st_mtime_ns for path in first["files"]}
    time.sleep(0.01)
    assert write_toy_reid(tmp_path, ["personx"], 3, SMALL) == first
    assert stamps == {path: (tmp_path / path).stat().st_mtime_ns for path in first["files"]}
    other = write_toy_reid(tmp_path / "other", ["personx"], 4, SMALL)
    assert other["files"].keys() == first["files"].keys()
    assert not set(other["files"].values()) & set(first["files"].values())


def test_no_two_persons_share_the_colours_of_top_and_legs():
    def pair(number):
        picture = Person(0, "x", number).draw("back", 0.0, 200).colour.reshape(-1, 3)
        colours, counts = np.unique(picture, axis=0, return_counts=True)
        return tuple(map(tuple, colours[np.argsort(-counts)[:9]].tolist()))

    assert len({pair(number) for number in range(30)}) == 30
    assert len(CLOTHES) ** 2 > 150


@pytest.mark.parametrize(("kind", "look"), [("market1501", "street"), ("personx", "render")])
def test_cameras_differ_in_light_and_background(kind, look):
    def empty(number):
        camera = Camera(0, kind, number, look)
        return Sighting(None, camera, 64, 0).take().reshape(-1, 3).mean(0)

    colours = np.array([empty(number) for number in range(6)])
    apart = np.abs(colours[:, None] - colours).max(-1)[np.triu_indices(6, 1)]
    assert apart.min() > 2 and np.median(apart) > 8


@pytest.mark.parametrize(("kind", "who"), [("market1501", Person), ("veri", Vehicle)])
def test_an_identity_is_nearer_to_itself_than_to_others(kind, who):
    """By colours of the middle alone, more often than not and far from always."""
    shots = [
        (number, camera, Sighting(who(0, kind, number), Camera(0, kind, camera, "street"), 64, 0))
        for number in range(12)
        for camera in range(4)
    ]
    features, seen = [], []
    for number, camera, sighting in shots:
        picture = Image.fromarray(sighting.take())
        width, height = picture.size
        middle = picture.crop((width * 3 // 10, 0, width * 7 // 10, height))
        features.append(np.asarray(middle.resize((4, 8)), float).ravel())
        seen.append((number, camera))
    right = 0
    for at, (number, camera) in enumerate(seen):
        others = [j for j, (n, c) in enumerate(seen) if c != camera]
        nearest = min(others, key=lambda j: np.sum((features[j] - features[at]) ** 2))
        right += seen[nearest][0] == number
    assert 0.4 < right / len(seen) < 0.98


def test_the_step(root):
    small = {"height": 32, "identities": 2, "test_identities": 2, "cameras": 2, "images": 2}
    with collecting() as artifacts:
        found, *_ = toy_reid({"directory": "toy", "sets": ["vehiclex"], **small})
    assert found == {"directory": str(root / "toy"), "seed": 0, "pictures": 8}
    assert artifacts.outputs == [str(root / "toy/toy_reid.json"), str(root / "toy/data/vehiclex")]
    with pytest.raises(ComponentError, match="cameras"):
        toy_reid({"directory": "toy", "sets": ["veri"], "cameras": 7})
    with pytest.raises(ComponentError, match="expected 'market1501' or .*, got 'verie'"):
        toy_reid({"directory": "toy", "sets": ["verie"]})
