"""The ``runtime`` of a network: wrappers, preprocessing, frozen or not."""

from typing import Annotated, Any, Literal

from mdir import registry
from mdir.networks.wrappers.stack import check_wrappers
from mdir.registry import Holds, Named

FROM_CHECKPOINT = "load_from_checkpoint"

_Stored = Literal["load_from_checkpoint"]
_Wrappers = str | Annotated[dict, Holds(Named("wrapper", "[^_]*_"))] | None


def _stages(*, train: _Wrappers, eval: _Wrappers):
    """Only a signature: wrappers by stage."""


def _preprocessing(
    *, mean_std: tuple[list[float], list[float]] | None = None, transforms: str | None = None
):
    """Only a signature: what ``data`` of a runtime holds."""


def _runtime(
    *,
    wrappers: _Wrappers | Annotated[dict, Holds(_stages)] | _Stored = None,
    data: Annotated[dict, Holds(_preprocessing)] | _Stored | None = None,
    frozen: bool | _Stored = False,
    model: Any = None,
):
    """Only a signature: what a runtime holds."""


RuntimeSection = Annotated[dict, Holds(_runtime)]
_KEYS = registry.schema(_runtime)[0]
_DATA_KEYS = registry.schema(_preprocessing)[0]


def check_runtime(runtime: dict):
    """Every problem of a ``runtime`` mapping, as ``(path, message)``."""
    for key, value in runtime.items():
        if registry.is_unresolved(key) or registry.is_unresolved(value) or value == FROM_CHECKPOINT:
            continue
        if key not in _KEYS:
            yield (key,), registry.unknown("runtime parameter", key, _KEYS)
        elif key == "wrappers":
            for path, message in check_wrappers(value):
                yield (key, *path), message
        elif key == "data":
            for path, message in _check_data(value):
                yield (key, *path), message
        elif key == "frozen" and not isinstance(value, bool):
            yield (key,), f"expected true or false, got {value!r}"


def _check_data(data):
    if data is None:
        return
    if not isinstance(data, dict):
        yield (), f"expected a mapping, got {data!r}"
        return
    for key, value in data.items():
        if key not in _DATA_KEYS:
            yield (key,), registry.unknown("parameter", key, _DATA_KEYS) + " (of runtime.data)"
            continue
        for problem in registry.check(_DATA_KEYS[key].annotation, value, (key,)):
            yield problem.path, problem.message
    yield from _check_transforms(data)


def _check_transforms(data):
    text = data.get("transforms")
    if not isinstance(text, str) or registry.is_unresolved(text):
        return
    from mdir.data.transforms.parse import check_transforms  # heavy, needed for a check alone

    try:
        check_transforms(text)
    except ValueError as error:
        yield ("transforms",), str(error)


def with_stored(runtime: dict | str, stored: dict) -> dict:
    """A runtime whose ``load_from_checkpoint``, for all of it or for keys, is what is stored."""
    if runtime == FROM_CHECKPOINT:
        return dict(stored)
    return {
        key: stored[key] if value == FROM_CHECKPOINT else value
        for key, value in runtime.items()
        if value != FROM_CHECKPOINT or key in stored
    }
