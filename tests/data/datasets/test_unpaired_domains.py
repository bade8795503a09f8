"""Unpaired pairs of two domains."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir import registry
from mdir.data.loading import make_loader
from mdir.data.transforms.parse import parse_transforms

HALF = [[0.5] * 3, [0.5] * 3]
CROP = "pil2np | scalecrop:16_16:0.8_1 | totensor | normalize"


@pytest.fixture
def world(tmp_path):
    """Three small images of X, two large ones of Y, their lists; blank lines among the names."""
    for letter, count, side in (("x", 3, 20), ("y", 2, 40)):
        for index in range(count):
            ramp = np.linspace(index * 40, 120 + index * 40, side * side * 3).astype(np.uint8)
            Image.fromarray(ramp.reshape(side, side, 3)).save(tmp_path / f"{letter}{index}.png")
        lines = [f"  {letter}{index}.png \n\n" for index in range(count)]
        (tmp_path / f"{letter}.txt").write_text("".join(lines))
    return tmp_path


def dataset(world, transforms=CROP, **changes):
    section = {"name": "RandomDomainsPair", "image_dir": str(world), "size": None}
    section |= {"dataset_X": str(world / "x.txt"), "dataset_Y": str(world / "y.txt")}
    return registry.build("dataset", {**section, **changes}, parse_transforms(transforms, HALF), ())


def test_length(world):
    assert len(dataset(world)) == 2
    assert len(dataset(world, size=7)) == 7
    assert len(dataset(world, sampling="unaligned")) == 3


def test_pairs_are_drawn_with_replacement_for_each_epoch(world):
    pairs = dataset(world, size=50)
    np.random.seed(0)
    pairs.prepare_epoch(None)
    first = pairs.idxs_X.copy()
    np.random.seed(0)
    expected = np.random.randint(3, size=50), np.random.randint(2, size=50)
    np.testing.assert_array_equal(first, expected[0])
    np.testing.assert_array_equal(pairs.idxs_Y, expected[1])
    pairs.prepare_epoch(None)
    assert (pairs.idxs_X != first).any()


def test_unaligned_sampling_takes_x_in_turn(world):
    pairs = dataset(world, sampling="unaligned", size=7)
    pairs.prepare_epoch(None)
    assert pairs.idxs_X.tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_independent_windows_reach_all_of_the_larger_image(world):
    crop = "random_crop:16_16 | pil2np | totensor"
    seen = {}
    for independent in (False, True):
        pairs = dataset(world, crop, size=60, independent_transforms=independent)
        random.seed(0)
        np.random.seed(0)
        pairs.prepare_epoch(None)
        seen[independent] = max(float(pairs[i][1].max()) for i in range(60))
    assert seen[True] > seen[False]


def test_batches_do_not_depend_on_workers(world):
    batches = []
    for workers in (0, 2):
        pairs = dataset(world, size=6)
        np.random.seed(1)
        pairs.prepare_epoch(None)
        section = {"loader": {"batch_size": 2, "num_workers": workers}}
        batches.append(list(make_loader(pairs, section, {"shuffle": True}, seed=5, epoch=2)))
    for ours, theirs in zip(*batches, strict=True):
        assert ours[0].shape == (2, 3, 16, 16)
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_errors_name_the_file(world):
    (world / "empty.txt").write_text("\n \n")
    (world / "photo.txt").write_bytes(b"\xff\xd8\xff\xe0")
    (world / "bad.txt").write_text("x0.png\nabsent.png\ngone.png\n")
    for changes, message in (
        ({"dataset_X": str(world / "none.txt")}, "none.txt: there is no such list"),
        ({"dataset_X": str(world / "empty.txt")}, "empty.txt: the list names no image"),
        ({"dataset_X": str(world / "photo.txt")}, "photo.txt: is not text in UTF-8"),
        ({"dataset_Y": str(world / "bad.txt")}, r"bad.txt: 2 of its 3 images .*absent.png"),
        ({"image_dir_Y": str(world / "elsewhere")}, "elsewhere/y0.png"),
    ):
        with pytest.raises(DataError, match=message):
            dataset(world, **changes)


def test_resize_to_changes_the_aspect():
    image = Image.new("RGB", (30, 20))
    (tensor,) = (parse_transforms("resize_to:8_12 | pil2np | totensor")(image),)
    assert tensor.shape == (3, 12, 8)
    with pytest.raises(DataError, match="before pil2np"):
        parse_transforms("pil2np | resize_to:8_8")(image)
