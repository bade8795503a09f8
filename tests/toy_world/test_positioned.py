"""Drawn places with positions: near their own pictures, far from all others."""

import numpy as np

from mdir.data.datasets.places import Places
from mdir.scores.measures.place_recall import positives_within
from mdir.toy_world.positioned import FOLDER, PlaceSizes, write_toy_places

SIZES = PlaceSizes(image_size=48, places=5, views=2, queries=1)


def test_positions_are_those_of_the_places(tmp_path):
    manifest = write_toy_places(tmp_path, 1, SIZES)
    found = Places(None, set="folder", image_dir=str(tmp_path / FOLDER), queries="queries_night")
    assert manifest["pictures"] == 5 * 2 + 5 + 4 * 6 and found.database == 15
    shown = [name.split("@")[7] for name in found.names]
    near = positives_within(*np.split(found.positions, [found.database]), 25)
    for name, images in zip(shown[found.database :], near, strict=True):
        known = [at for at, other in enumerate(shown[: found.database]) if other == name]
        assert images.tolist() == known and len(known) == (0 if name == "place10" else 2)


def test_the_same_seed_is_the_same_city(tmp_path):
    first, again, other = (
        write_toy_places(tmp_path / name, seed, PlaceSizes(48, 2, 1, 1))["files"]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert not set(first.values()) & set(other.values())
