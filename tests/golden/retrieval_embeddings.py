"""The golden files of embedding networks: ``embed*.npz`` and ``state_dict_keys*.json``."""

import numpy as np

from tests.golden.golden import files, load_json, load_npz, normal

META = load_json("retrieval", "meta.json", {})
SEEDS = 1000


def embedding_cases():
    """(file, configuration) of every stored output."""
    return [
        (name, key.removesuffix("_out"))
        for name in files("retrieval", "embed*.npz")
        for key in load_npz("retrieval", name)
        if key.endswith("_out")
    ]


def key_cases():
    """(file, configuration) of every stored list of keys."""
    names = files("retrieval", "state_dict_keys*.json")
    return [(name, config) for name in names for config in load_json("retrieval", name)]


def stored_keys(name, config):
    """``{key: shape}`` of a configuration of an ``embed*.npz``, None where none is stored."""
    beside = name.replace("embed", "state_dict_keys", 1).replace(".npz", ".json")
    return load_json("retrieval", beside, {}).get(config)


def embedding_input(name, config):
    """The input ``[B, 3, H, W]`` float32 of a case: the one whose corner is stored."""
    corner = load_npz("retrieval", name)[f"{config}_x"]
    shape = META[name.removesuffix(".npz")]["input"]
    for seed in range(META["seed"], META["seed"] + SEEDS):
        if np.array_equal(normal(seed, corner.shape[3:]), corner[0, 0, 0]):
            x = normal(seed, shape)
            np.testing.assert_array_equal(x[:, :, : corner.shape[2], : corner.shape[3]], corner)
            return x
    raise AssertionError(f"{name}: no seed gives the stored corner of {config}")
