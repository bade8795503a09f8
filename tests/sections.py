"""Sections of networks small enough for tests, as a scenario writes them."""

from mdir import registry

DATA = {
    "transforms": "pil2np | totensor | normalize",
    "mean_std": [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]],
}


def single(model: dict, initialize=False, /, **runtime) -> dict:
    """The section of one network; keywords go to its runtime."""
    kind = {"type": "SingleNetwork", "model": model}
    return {**kind, "initialize": initialize, "runtime": runtime}


def generator(seed: int = 3, **runtime) -> dict:
    """The section of a generator of a few thousand weights."""
    model = {
        "architecture": "official_resnet_generator",
        "no_antialias": True,
        "no_antialias_up": True,
        "input_nc": 3,
        "output_nc": 3,
        "ngf": 2,
        "n_blocks": 1,
        "norm_layer": "batch",
    }
    initialize = {"weights": "kaiming_p2p", "seed": seed}
    return single(model, initialize, **{"wrappers": "", "data": dict(DATA), **runtime})


def cirnet(backbone: str = "alexnet", **params) -> dict:
    """The model of an untrained GeM embedding."""
    return {
        "architecture": "cirnet",
        "cir_architecture": backbone,
        "local_whitening": False,
        "pooling": "gem",
        "regional": False,
        "whitening": False,
        "pretrained": False,
        **params,
    }


def sequence(kind="SequentialNetwork", **settings) -> dict:
    """The section of two generators, the first frozen."""
    return {
        "type": kind,
        "sequence": "augment,embed",
        "augment": generator(7, frozen=True),
        "embed": generator(9, wrappers="reflectpad_divisible:4"),
        **settings,
    }


def build(section: dict):
    """The network of a section, on the CPU."""
    return registry.build("network", section, "cpu")
