"""Models of the package timm: names, options, what they are before any weights, weights.

``timm`` is imported late, since it takes its time.
"""

import difflib
import functools
import inspect
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from cirtorch.downloads.fetch import cached_weights, fetch
from cirtorch.utils.errors import DataError
from cirtorch.utils.general import get_weights_root
from mdir.networks.files import read_weights
from mdir.paths import resolve_path

_HUB = "https://huggingface.co"
# What this toolkit decides itself, or what would have timm read files or the net on its own.
_RESERVED = (
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "checkpoint_path",
    "cache_dir",
    "num_classes",
    "in_chans",
    "global_pool",
    "features_only",
    "out_indices",
    "output_stride",
    "scriptable",
    "exportable",
    "no_jit",
    "device",
    "dtype",
)


def check_name(name: str) -> None:
    """ValueError unless timm has a model of that name, and weights of that tag if it has one."""
    import timm

    model, _, tag = name.partition(".")
    known = timm.list_models()
    if model not in known:
        near = difflib.get_close_matches(model.lower(), known, n=3)
        near = near or [each for each in known if model.lower() in each][:3]
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(
            f"unknown timm model {name!r}.{hint} timm {timm.__version__} has {len(known)}, "
            "timm.list_models() names them"
        )
    tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{model}.*")]
    if tag and tag not in tags:
        raise ValueError(
            f"timm knows no weights {tag!r} of {model}. Allowed: {', '.join(tags) or 'none'}"
        )


def check_options(options: dict) -> None:
    """ValueError where an option is not for scenarios to set."""
    for key in options:
        if key in _RESERVED:
            raise ValueError(f"{key!r} is not an option here: it is decided by the other keys")


def mean_std_of(name: str) -> list[list[float]]:
    """The normalization ``[means, stds]`` that a model's weights were trained with."""
    import timm

    config = timm.get_pretrained_cfg(name)
    return [list(map(float, values)) for values in (config.mean, config.std)]


@dataclass(frozen=True)
class Plan:
    """What a model is, found out without weights.

    ``options``: of ``timm.create_model``. ``channels``: C of the map. ``prefix``: tokens before
    those of the patches. ``has_class_token``: the first of them is one. ``grid``: height and width
    of the map where tokens are a sequence, for images of ``probed`` pixels; else None. ``patch``:
    sides of images are multiples of it. ``fixed``: ``(height, width)`` of all images, or None.
    ``layers``: how many there are to choose from.
    """

    options: dict
    channels: int
    prefix: int
    has_class_token: bool
    is_sequence: bool
    grid: tuple[int, int] | None
    patch: tuple[int, int]
    fixed: tuple[int, int] | None
    layers: int


def plan(name: str, options: dict, input_size=None) -> Plan:
    """Build a model without its numbers and look at it.

    Transformers that can are made for images of any size.

    Args:
        input_size: ``[height, width]`` of all images; null: they differ.

    Raises:
        ValueError: timm does not take the options.
    """
    return _plan(name, json.dumps(options), tuple(input_size or ()))


@functools.lru_cache(maxsize=64)  # asked when a section is checked, and when its network is made
def _plan(name, options, input_size):
    options = {**json.loads(options), "num_classes": 0}
    model = _bare(name, options)
    arguments = _arguments(type(model))
    config = model.pretrained_cfg
    is_dynamic = "dynamic_img_size" in arguments
    if is_dynamic and "dynamic_img_size" not in options:
        options["dynamic_img_size"] = True
    fixed = None
    if config.get("fixed_input_size") and not options.get("dynamic_img_size"):
        if input_size and "img_size" in arguments:
            options.setdefault("img_size", input_size)
        fixed = _pair(options.get("img_size", config["input_size"][1:]))
    model = _bare(name, options)
    patch = (1, 1)
    if is_dynamic and not options.get("dynamic_img_pad"):
        patch = _pair(model.patch_embed.patch_size)
    sides = fixed or _pair(options.get("img_size", config["input_size"][1:]))
    try:
        return _look_at(model, options, patch, fixed, sides)
    except Exception as error:  # whatever models of this package raise
        raise ValueError(f"{name} is no backbone for images of {sides}: {error}") from None


def _arguments(kind):
    """Names of what a class and those it hands keywords on to are made with."""
    found = set()
    for each in kind.__mro__:
        parameters = inspect.signature(each.__init__).parameters
        found |= set(parameters)
        if all(one.kind is not one.VAR_KEYWORD for one in parameters.values()):
            break
    return found


def _look_at(model, options, patch, fixed, sides):
    sides = [-(-side // unit) * unit for side, unit in zip(sides, patch, strict=True)]
    with torch.device("meta"), torch.no_grad():
        features = model.forward_features(torch.zeros(1, 3, *sides))
    if not torch.is_tensor(features) or features.dim() not in (3, 4):
        raise ValueError("the model gives neither a feature map nor tokens")
    layers, is_sequence = len(getattr(model, "feature_info", ())), features.dim() == 3
    if not is_sequence:
        last = getattr(model, "output_fmt", "NCHW") == "NHWC"
        channels = features.shape[-1 if last else 1]
        return Plan(options, channels, 0, False, False, None, patch, fixed, layers)
    grid = _grid(model, sides, patch)
    prefix = features.shape[1] - grid[0] * grid[1]
    if prefix < 0:
        raise ValueError("the model's tokens are no map")
    registers = getattr(model, "num_reg_tokens", 0) or 0
    is_class = prefix > 0 and (getattr(model, "cls_token", None) is not None or not registers)
    channels = features.shape[-1]
    return Plan(options, channels, prefix, is_class, True, grid, patch, fixed, layers)


def _grid(model, sides, patch):
    """Height and width of the map of the last layer."""
    if patch != (1, 1):
        return tuple(side // unit for side, unit in zip(sides, patch, strict=True))
    with torch.device("meta"), torch.no_grad():
        images = torch.zeros(1, 3, *sides)
        (last,) = model.forward_intermediates(
            images, indices=1, output_fmt="NCHW", intermediates_only=True
        )
    return tuple(last.shape[-2:])


def _bare(name, options):
    import timm

    with torch.device("meta"):
        try:
            return timm.create_model(name, **options).eval()
        except (TypeError, ValueError, AssertionError, RuntimeError, AttributeError) as error:
            given = {key: value for key, value in options.items() if key != "num_classes"}
            raise ValueError(f"timm cannot make {name} with {given}: {error}") from None


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def create(name: str, options: dict) -> torch.nn.Module:
    """The model of a plan's options, with random weights."""
    import timm

    return timm.create_model(name, **options)


def local_weights(source: str) -> str | None:
    """The file that ``pretrained`` names if it is there already, else None."""
    path = resolve_path(source)
    return path if "://" not in source and os.path.isfile(path) else None


def load_pretrained(model, source: str | bool, name: str) -> None:
    """Load weights into a model, all of them but a classifier's.

    Args:
        source: true: those that timm names, fetched once into ``<root>/weights``; text: a path or
            URL of a ``.pth``, ``.bin`` or ``.safetensors`` file.

    Raises:
        DataError: they cannot be had or do not fit.
    """
    path = published(name, model.pretrained_cfg) if source is True else source
    model.load_state_dict(fitting_state(model, path))


def published(name: str, config: dict) -> str:
    """The file of the weights that timm names, fetched once.

    Raises:
        DataError: it cannot be had, or is of a form of its own.
    """
    repository, url = config.get("hf_hub_id"), config.get("url")
    if not repository and not url:
        raise DataError(f"timm has no weights of {name}; say pretrained: false, or name a file")
    whole = f"{name.partition('.')[0]}.{config['tag']}" if config.get("tag") else name
    by_hand = (
        f"pretrained: true of {whole}: %s\nElsewhere, `timm.create_model({whole!r}, "
        "pretrained=True).state_dict()` written by torch.save is such a file; name it by "
        "`pretrained: FILE`. Nothing begins from random weights unless pretrained is false."
    )
    try:
        if not repository:
            if config.get("custom_load"):
                raise DataError(f"{url} is in a form of its own, which only timm reads.")
            return cached_weights(url)
        file = config.get("hf_hub_filename") or "model.safetensors"
        place = Path(get_weights_root(), "timm", whole + Path(file).suffix)
        return str(fetch(f"{_HUB}/{repository}/resolve/main/{file}", place))
    except DataError as error:
        raise DataError(by_hand % error) from None


def fitting_state(model, source: str) -> dict:
    """The state of a file as the model takes it.

    ``state_dict`` or ``model`` of a training's file are taken, the prefix ``module.`` and the
    weights of the classifier left out; timm's own conversion of the model family is applied, which
    also fits the positions of a transformer to another image size.

    Raises:
        DataError: the file is absent, broken, or not of this model; the message lists what differs.
    """
    state = read_weights(source)
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(torch.is_tensor(each) for each in state.values()):
        raise DataError(f"pretrained weights {source}: not a state_dict")
    state = {key.removeprefix("module."): value for key, value in state.items()}
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is not None:
        try:
            with torch.no_grad():
                state = dict(convert(state, model))
        except (KeyError, RuntimeError, ValueError, IndexError, AssertionError, TypeError) as error:
            raise DataError(
                f"{_misfit(source, model)} timm cannot convert them ({error})"
            ) from None
    state = _without_classifier(state, model)
    faults = _faults(state, model.state_dict())
    if faults:
        more = f" (and {len(faults) - 5} more)" if len(faults) > 5 else ""
        raise DataError(f"{_misfit(source, model)} {'; '.join(faults[:5])}{more}")
    return state


def _misfit(source, model):
    name = model.pretrained_cfg.get("architecture") or type(model).__name__
    return f"pretrained weights {source} do not fit {name}:"


def _without_classifier(state, model):
    heads = model.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads))
    own = model.state_dict()
    return {key: v for key, v in state.items() if key in own or not key.startswith(heads)}


def _faults(state, own):
    """What differs, in words: shapes first, then keys."""
    shapes = [
        f"{key} is {list(state[key].shape)} in the file and {list(own[key].shape)} in the model"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    counters = "num_batches_tracked"  # of no use to a network that keeps its statistics
    missing = [key for key in own if key not in state and not key.endswith(counters)]
    extra = [key for key in state if key not in own]
    return [
        *shapes,
        *(f"{key} is missing in the file" for key in missing),
        *(f"{key} is not in the model" for key in extra),
    ]
