"""Small networks for tests."""

import copy

from mdir import registry

GENERATOR = {
    "type": "SingleNetwork",
    "model": {
        "architecture": "official_resnet_generator",
        "no_antialias": True,
        "no_antialias_up": True,
        "input_nc": 3,
        "output_nc": 3,
        "ngf": 2,
        "n_blocks": 1,
        "norm_layer": "batch",
    },
    "initialize": {"weights": "kaiming_p2p", "seed": 3},
    "runtime": {
        "wrappers": "",
        "data": {
            "transforms": "pil2np | totensor | normalize",
            "mean_std": [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]],
        },
    },
}


def generator(seed=3, **runtime) -> dict:
    """The section of a tiny generator; keywords go to its runtime."""
    section = copy.deepcopy(GENERATOR)
    section["initialize"]["seed"] = seed
    section["runtime"].update(runtime)
    return section


def sequence(kind="SequentialNetwork", **settings) -> dict:
    """The section of two generators, the first frozen."""
    return {
        "type": kind,
        "sequence": "augment,embed",
        "augment": generator(7, frozen=True),
        "embed": generator(9, wrappers="reflectpad_divisible:4"),
        **settings,
    }


def build(section):
    return registry.build("network", section, "cpu")
