"""The step that draws the toy world."""

import pytest

from mdir.artifacts import collecting
from mdir.registry import ComponentError
from mdir.stages.toy_world import toy_world

SMALL = {
    "image_size": 48,
    "train_places": 2,
    "val_places": 2,
    "test_places": 2,
    "day_views": 3,
    "night_views": 2,
    "pairs": 2,
}


def test_writes_below_the_root_and_tells_what(root):
    with collecting() as artifacts:
        metadata, *_ = toy_world({"directory": "quick/world", "seed": 3, **SMALL})
    assert metadata["directory"] == str(root / "quick/world") and metadata["seed"] == 3
    assert str(root / "quick/world/toy_world.json") in artifacts.outputs
    assert str(root / "quick/world/data/train/retrieval-SfM-120k") in artifacts.outputs


def test_refuses_nonsense(root):
    with pytest.raises(ComponentError, match="unknown parameter 'sead'. Did you mean 'seed'"):
        toy_world({"directory": "x", "sead": 1})
    with pytest.raises(ComponentError, match="image_size: expected 48 or more, got 8"):
        toy_world({"directory": "x", "image_size": 8})
