"""The toy world's car models and bird species: what they show, and where it lies."""

import time

import numpy as np
import pytest
import scipy.io
from PIL import Image

from mdir.artifacts import collecting
from mdir.registry import ComponentError
from mdir.stages.toy_world import toy_fine_grained
from mdir.toy_world import fine_grained
from mdir.toy_world.birds import Species
from mdir.toy_world.cars import CarModel
from mdir.toy_world.fine_grained import FineGrainedSizes, Portrait, write_toy_fine_grained

SMALL = FineGrainedSizes(size=48, classes=2, images=2)
KINDS = {"car": CarModel, "cub": Species}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fine_grained")
    write_toy_fine_grained(folder, ["car", "cub"], 0, SMALL)
    return folder / "data"


def test_cars_lie_as_those_of_cars196(world):
    records = scipy.io.loadmat(world / "car/cars_annos.mat")["annotations"][0]
    assert [str(record[0][0]) for record in records] == [
        f"car_ims/{number:06d}.jpg" for number in range(1, 9)
    ]
    assert [record[5].item() for record in records] == [1, 1, 2, 2, 99, 99, 100, 100]
    assert [record[6].item() for record in records] == [0] * 4 + [1] * 4
    portraits = [Portrait(CarModel(0, number // 2), number % 2, 48) for number in range(8)]
    pictures = [portrait.take() for portrait in portraits]
    for number, (record, portrait) in enumerate(zip(records, portraits, strict=True)):
        left, top, right, bottom = portrait.box()
        assert [record[at].item() for at in (1, 2, 3, 4)] == [left + 1, top + 1, right, bottom]
        with Image.open(world / "car" / str(record[0][0])) as image:
            apart = [np.abs(np.int16(image) - shown).mean() for shown in pictures]
        assert np.argmin(apart) == number


def test_birds_lie_as_those_of_cub(world):
    def lines(name):
        return [line.split() for line in (world / f"cub/{name}.txt").read_text().splitlines()]

    labels = [int(label) for _, label in lines("image_class_labels")]
    assert labels == [1, 1, 2, 2, 101, 101, 102, 102]
    for number, (name, path) in enumerate(lines("images")):
        portrait = Portrait(Species(0, number // 2), number % 2, 48)
        kind = f"Toy_{portrait.subject.kind.capitalize()}"
        expected = f"{labels[number]:03d}.{kind}/{kind}_{number % 2 + 1:04d}_{number + 1}.jpg"
        assert (name, path) == (str(number + 1), expected)
        left, top, right, bottom = portrait.box()
        box = [float(value) for value in lines("bounding_boxes")[number][1:]]
        assert box == [left, top, right - left, bottom - top]
        with Image.open(world / "cub/images" / path) as image:
            assert image.size == (48, 36)


@pytest.mark.parametrize("number", range(10))
def test_a_box_holds_the_whole_bird_and_no_more(number, monkeypatch):
    portrait = Portrait(Species(0, number), 0, 96)
    box, picture = portrait.box(), portrait.take()

    def nobody(*args):
        cover, paint = placed(*args)
        return 0 * cover, paint

    placed = fine_grained.placed
    monkeypatch.setattr(fine_grained, "placed", nobody)
    seen = np.abs(np.int16(picture) - portrait.take()).max(-1) > 24
    spans = [np.flatnonzero(seen.any(axis)) for axis in (0, 1)]
    found = [spans[0][0], spans[1][0], spans[0][-1] + 1, spans[1][-1] + 1]
    assert np.abs(np.subtract(found, box)).max() <= 4


def test_only_what_is_asked_for_is_drawn_once_and_the_same_again(tmp_path):
    first = write_toy_fine_grained(tmp_path / "first", ["car"], 3, SMALL)
    assert all(path.startswith("data/car/") for path in first["files"])
    stamps = {path: (tmp_path / "first" / path).stat().st_mtime_ns for path in first["files"]}
    time.sleep(1.1)  # seconds that a MATLAB file would tell
    assert write_toy_fine_grained(tmp_path / "first", ["car"], 3, SMALL) == first
    assert stamps == {
        path: (tmp_path / "first" / path).stat().st_mtime_ns for path in first["files"]
    }
    assert write_toy_fine_grained(tmp_path / "second", ["car"], 3, SMALL) == first
    other = write_toy_fine_grained(tmp_path / "other", ["car"], 4, SMALL)
    assert not set(other["files"].values()) & set(first["files"].values())


def test_models_of_a_kind_differ_in_lamps_or_grille():
    looks = [CarModel(0, number) for number in range(80)]
    fronts = {(model.kind, model.look(0).lamps, model.look(0).grille) for model in looks}
    assert len(fronts) == 80 and len({kind for kind, _, _ in fronts}) == 8


def _found(kind, describe, classes=8, images=10):
    """Share of images whose nearest neighbour is of their class."""
    portraits = [Portrait(kind(0, n), i, 96) for n in range(classes) for i in range(images)]
    crops = [Image.fromarray(portrait.take()).crop(portrait.box()) for portrait in portraits]
    features = np.array([describe(crop) for crop in crops])
    distances = ((features[:, None] - features) ** 2).sum(-1)
    np.fill_diagonal(distances, np.inf)
    labels = np.arange(classes * images) // images
    return (labels[distances.argmin(1)] == labels).mean()


def _grey(image):
    pixels = np.asarray(image.convert("L").resize((16, 12)), float).ravel()
    return (pixels - pixels.mean()) / pixels.std()


@pytest.mark.parametrize(("name", "least"), [("car", 0.35), ("cub", 0.5)])
def test_shape_tells_the_class(name, least):
    assert least < _found(KINDS[name], _grey) < 0.95


def test_paint_does_not_tell_the_model():
    assert _found(CarModel, lambda image: np.asarray(image, float).mean((0, 1))) < 0.3


def test_the_step(root):
    small = {"image_size": 48, "classes": 2, "images": 2}
    with collecting() as artifacts:
        found, *_ = toy_fine_grained({"directory": "toy", "sets": ["cub"], **small})
    assert found == {"directory": str(root / "toy"), "seed": 0, "pictures": 8}
    assert artifacts.outputs == [
        str(root / "toy/toy_fine_grained.json"),
        str(root / "toy/data/cub"),
    ]
    with pytest.raises(ComponentError, match="classes"):
        toy_fine_grained({"directory": "toy", "sets": ["car"], "classes": 99})
    with pytest.raises(ComponentError, match="expected 'car' or 'cub', got 'cars'"):
        toy_fine_grained({"directory": "toy", "sets": ["cars"]})
