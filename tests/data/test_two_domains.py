"""The two-domain folders: layouts, views, and every mistake listed with its files."""

import random

import numpy as np
import pytest
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir.data.two_domains import TwoDomains


def paint(path, value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 8, 3), value, np.uint8)).save(path)


@pytest.fixture
def daco(root):
    for domain, word in (("domain_a", "day"), ("domain_b", "night")):
        for number in range(3):
            name = f"{domain}/train/{word}_{number:05d}"
            paint(root / "set/original" / f"{name}.jpg", 10 * number)
            paint(root / "set/generated" / f"{name}.png", 200)
    return root / "set"


def make(transform=lambda image: image, **params):
    return TwoDomains(transform, image_dir="set/original", **params)


def test_items_are_views_of_original_and_translation(daco):
    dataset = make(views="original,original,translation", translation_dir="set/generated")
    views, about = dataset[4]
    assert [np.asarray(view).mean().round() for view in views] == [10, 10, 200]
    assert about == {"index": 4, "label": 1, "domain": 1}
    assert len(dataset) == 6 and dataset.num_classes == 3


def test_views_are_drawn_independently(daco):
    random.seed(0)
    views, _ = make(lambda image: random.random())[0]
    assert views[0] != views[1]


def test_split_before_domain(root):
    for domain in ("image", "sketch"):
        paint(root / "set" / "val" / domain / "7.png")
    dataset = TwoDomains(None, image_dir="set", layout="split/domain", split="val")
    assert dataset.domains == ["image", "sketch"] and len(dataset) == 2


def test_grey_images_become_rgb(daco):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(daco / "original/domain_a/train/day_00000.jpg")
    assert make()[0][0][0].mode == "RGB"


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda d: (d / "original/domain_b/train/night_00001.jpg").unlink(), "day_00001"),
        (
            lambda d: (d / "original/domain_b/train/night_00001.jpg").rename(
                d / "original/domain_b/train/night_00009.jpg"
            ),
            "unpaired.*night_00009",
        ),
        (
            lambda d: (d / "original/domain_a/train/day_00002.jpg").write_bytes(b"no image"),
            "unreadable.*day_00002",
        ),
        (lambda d: paint(d / "original/domain_a/train/day_00002.png"), "one name: day_00002"),
        (
            lambda d: (d / "generated/domain_a/train/day_00000.png").unlink(),
            "translations are missing.*day_00000",
        ),
        (lambda d: (d / "original/domain_c").mkdir(), "expected two domains"),
    ],
)
def test_mistakes_are_listed(daco, spoil, message):
    spoil(daco)
    with pytest.raises(DataError, match=message):
        make(views="original,translation", translation_dir="set/generated")


def test_an_empty_or_missing_folder_is_named(root):
    with pytest.raises(DataError, match="set/original: no such folder"):
        make()
    (root / "set/original/a/train").mkdir(parents=True)
    (root / "set/original/b").mkdir()
    with pytest.raises(DataError, match="no image in it"):
        make()
