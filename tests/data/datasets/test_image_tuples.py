"""Tuples picked from lists of names."""

import pickle

import numpy as np
import pytest
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir.data.datasets.image_tuples import (
    PregeneratedImageTuple,
    RandomImageTuple,
    parse_picks,
    pick,
)
from mdir.data.loading import make_loader
from mdir.data.transforms.parse import parse_transforms

TUPLES = [["a", "b", "c"], ["b", "c", "a"]]


@pytest.fixture
def params(root):
    for number, name in enumerate("abc"):
        Image.new("RGB", (6, 4), (number, 0, 0)).save(root / f"{name}.png")
    (root / "tuples.pkl").write_bytes(pickle.dumps({"val": TUPLES}))
    return {
        "dataset": "tuples.pkl",
        "data_key": "val",
        "image_dir": "*.png",
        "idx": "any_different",
    }


def make(cls, **params):
    return cls(parse_transforms("pil2np | totensor"), (), **params)


def test_random_tuples_change_with_the_epoch(params):
    dataset = make(RandomImageTuple, **params)
    with pytest.raises(DataError, match="prepare_epoch"):
        dataset[0]
    drawn = set()
    for seed in range(8):
        np.random.seed(seed)
        dataset.prepare_epoch(None)
        drawn.add(str(dataset.names))
        assert all(len(set(names)) == 2 for names in dataset.names)
    assert len(drawn) > 1


def test_items_are_lists_of_labelled_images(params):
    dataset = make(PregeneratedImageTuple, **{**params, "idx": "-1_0"})
    first = dataset[0]
    assert isinstance(first, list) and [image.name for image in first] == ["c", "a"]
    assert isinstance(make(PregeneratedImageTuple, **{**params, "idx": "0"})[0], list)
    loader = make_loader(dataset, {"loader": {"batch_size": 2, "num_workers": 0}})
    assert [image.shape for image in next(iter(loader))] == [(2, 3, 4, 6)] * 2


def test_picks():
    draw = iter([2, 0, 1]).__next__
    assert pick(["a", "b", "c"], parse_picks("any_different_1"), lambda n: draw()) == [
        "c",
        "a",
        "b",
    ]
    assert pick(["a", "b", "c"], parse_picks([1, None]), None) == ["b", "c"]


@pytest.mark.parametrize("idx", ["0_some", "", [1, 2, 3], ["a", 1]])
def test_bad_picks(idx):
    with pytest.raises(DataError, match="idx"):
        parse_picks(idx)


def test_short_tuples():
    for idx in ("3", "-4", "0_1_2_different"):
        with pytest.raises(DataError, match="has no item"):
            pick(["a", "b", "c"], parse_picks(idx), lambda n: 0)


def test_a_section_left_open(params):
    with pytest.raises(DataError, match="have to be given"):
        make(RandomImageTuple, **{**params, "dataset": None})
    with pytest.raises(DataError, match="no column 'train'"):
        make(RandomImageTuple, **{**params, "data_key": "train"})
