"""The ``runtime`` of a network: wrappers, preprocessing, frozen or not."""

from typing import Annotated, Any, Literal, TypedDict

from mdir import registry
from mdir.networks.wrappers.stack import check_wrappers
from mdir.registry import Holds, Named, Problem, within

FROM_CHECKPOINT = "load_from_checkpoint"

_Stored = Literal["load_from_checkpoint"]
_Wrappers = str | Annotated[dict, Named("wrapper", "[^_]*_")] | None


class StageWrappers(TypedDict):
    """Wrappers by stage."""

    train: _Wrappers
    eval: _Wrappers


class Preprocessing(TypedDict, total=False):
    """How images are read, for the data sections that do not say."""

    mean_std: tuple[list[float], list[float]] | None
    transforms: str | None


class RuntimeOptions(TypedDict, total=False):
    """What stands around a model.

    Args:
        wrappers: before and after the model, in one stage or in both.
        data: preprocessing.
        frozen: in training, too.
        model: handed to the model.
    """

    wrappers: _Wrappers | Annotated[dict, Holds(StageWrappers)] | _Stored
    data: Annotated[dict, Holds(Preprocessing)] | _Stored | None
    frozen: bool | _Stored
    model: Any


RuntimeSection = Annotated[dict, Holds(RuntimeOptions)]
_KEYS = registry.schema(RuntimeOptions)[0]
_DATA_KEYS = registry.schema(Preprocessing)[0]


def check_runtime(runtime: dict):
    """Every :class:`Problem` of a ``runtime`` mapping."""
    for key, value in runtime.items():
        if registry.is_unresolved(key):
            continue
        if key not in _KEYS:
            yield Problem((key,), registry.unknown("runtime parameter", key, _KEYS, runtime))
        elif registry.is_unresolved(value) or value == FROM_CHECKPOINT:
            continue
        elif key == "wrappers":
            yield from within((key,), check_wrappers(value))
        elif key == "data":
            yield from within((key,), _check_data(value))
        elif key == "frozen":
            yield from registry.check(bool, value, (key,))


def _check_data(data):
    if data is None:
        return
    if not isinstance(data, dict):
        yield Problem((), f"expected a mapping, got {data!r}")
        return
    for key, value in data.items():
        if key not in _DATA_KEYS:
            message = registry.unknown("parameter", key, _DATA_KEYS, data) + " (of runtime.data)"
            yield Problem((key,), message)
        else:
            yield from registry.check(_DATA_KEYS[key].annotation, value, (key,))
    yield from _check_transforms(data)


def _check_transforms(data):
    text = data.get("transforms")
    if not isinstance(text, str) or registry.is_unresolved(text):
        return
    from mdir.data.transforms.parse import check_transforms  # heavy, needed for a check alone

    try:
        check_transforms(text)
    except ValueError as error:
        yield Problem(("transforms",), str(error))


def with_stored(runtime: dict | str, stored: dict) -> dict:
    """A runtime whose ``load_from_checkpoint``, for all of it or for keys, is what is stored."""
    if runtime == FROM_CHECKPOINT:
        return dict(stored)
    return {
        key: stored[key] if value == FROM_CHECKPOINT else value
        for key, value in runtime.items()
        if value != FROM_CHECKPOINT or key in stored
    }
