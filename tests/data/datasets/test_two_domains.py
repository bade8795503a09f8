"""The two-domain folders: layouts, views, and every mistake listed with its files."""

import random

import numpy as np
import pytest
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir.data.datasets.two_domains import TwoDomains
from mdir.registry import Section, check


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
        (
            lambda d: (d / "original/domain_b/train/night_00001.jpg").unlink(),
            "3 in .*domain_a/train, 2 in .*\n  [^\n]*day_00001.jpg$",
        ),
        (
            lambda d: (d / "original/domain_b/train/night_00001.jpg").rename(
                d / "original/domain_b/train/night_00009.jpg"
            ),
            "unpaired.*day_00001.*night_00009",
        ),
        (
            lambda d: (d / "original/domain_a/train/day_00002.jpg").write_bytes(b"no image"),
            "unreadable.*day_00002",
        ),
        (lambda d: paint(d / "original/domain_a/train/day_00002.png"), "one name:.*day_00002"),
        (
            lambda d: (d / "generated/domain_a/train/day_00000.png").unlink(),
            "translations are missing.*day_00000",
        ),
        (lambda d: (d / "original/domain_c").mkdir(), "expected two domains"),
    ],
)
def test_mistakes_are_listed(daco, spoil, message):
    spoil(daco)
    with pytest.raises(DataError, match=f"(?s){message}"):
        make(views="original,translation", translation_dir="set/generated")


def test_an_empty_or_missing_folder_is_named(root):
    with pytest.raises(DataError, match="set/original: no such folder"):
        make()
    (root / "set/original/a/train").mkdir(parents=True)
    (root / "set/original/b").mkdir()
    with pytest.raises(DataError, match=r"a/train: holds no image \(\.jpg, .*\.webp"):
        make()


def test_the_given_order_of_domains_counts(daco):
    dataset = make(domains=["domain_b", "domain_a"])
    assert dataset.domains == ["domain_b", "domain_a"] and dataset.files[0].stem == "night_00000"


def test_other_folders_than_the_named_are_told(daco):
    with pytest.raises(DataError, match="expected the folders day, night, got domain_a, domain_b"):
        make(domains=["day", "night"])


@pytest.mark.parametrize("domains", [["a"], ["a", "a"], ["a", "b", "c"]])
def test_domains_are_two_different_names(domains):
    section = {"name": "TwoDomains", "image_dir": "set", "domains": domains}
    (problem,) = check(Section("dataset"), section)
    assert problem.path == ("domains",) and "names of two domains" in problem.message


def test_hidden_files_and_folders_are_none_of_the_images(daco):
    (daco / "original/.ipynb_checkpoints").mkdir()
    (daco / "original/domain_a/train/._day_00000.jpg").write_bytes(b"Mac OS X")
    assert len(make()) == 6


def test_all_missing_translations_are_listed(daco):
    for path in (daco / "generated/domain_b/train").iterdir():
        path.unlink()
    paint(daco / "generated/domain_b/train/night_99999.png")
    with pytest.raises(DataError) as error:
        make(views="original,translation", translation_dir="set/generated")
    assert [f"night_0000{i}" in str(error.value) for i in range(3)] == [True] * 3
