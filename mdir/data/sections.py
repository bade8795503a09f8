"""What one entry of a scenario's ``data`` may hold, and every mistake in it."""

import os
from collections.abc import Iterator
from typing import Annotated, get_args

from mdir import registry
from mdir.data.transforms.parse import check_transforms
from mdir.registry import Check, Holds, Problem, Section, check_parameters, register
from mdir.registry.ranges import at_least

_MAX_WORKERS = 6
_ITEMS_A_WORKER = 16  # for fewer, starting a process takes longer than reading them
_PATIENCE_S = 600  # a worker that gives nothing for so long is an error, not a hang


def loader_options(
    items: int,
    *,
    batch_size: Annotated[int, at_least(1)] | None = None,
    shuffle: bool = False,
    num_workers: Annotated[int, at_least(0)] | None = None,
    pin_memory: bool = True,
    drop_last: bool = False,
    prefetch_factor: int | None = None,
    timeout: float = _PATIENCE_S,
    sampler: Annotated[dict, Section("sampler")] | None = None,
) -> dict:
    """The ``loader`` part of a data section with its defaults filled in, for so many ``items``.

    ``num_workers`` null: as many as the machine has processors, at most 6, and none for a few
    items. ``timeout`` in seconds. ``sampler`` decides which items a pass takes, and their order;
    null: all of them, ``shuffle`` or in turn.
    """
    if num_workers is None:
        num_workers = min(_MAX_WORKERS, _processors(), items // _ITEMS_A_WORKER)
    num_workers = min(num_workers, items)
    alone = num_workers == 0
    return {
        "batch_size": batch_size,
        "shuffle": shuffle,
        "num_workers": num_workers,
        "pin_memory": pin_memory,
        "drop_last": drop_last,
        "prefetch_factor": None if alone else prefetch_factor,
        "timeout": 0 if alone else timeout,
        "sampler": sampler,
    }


def _processors():
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count()


def _check_mean_std(value):
    if len(value) != 2 or len(value[0]) != len(value[1]):
        raise ValueError("expected [means, standard deviations], two lists of one length")
    if any(float(std) == 0 for std in value[1]):
        raise ValueError("a standard deviation is zero")


def _columns(*, data_cols: str | None = None):
    """Only a signature: what a dataset section may hold besides the dataset's own."""


@register("data", "")
def data_section(
    *,
    dataset: Annotated[dict, Holds(Section("dataset"), beside=_columns)],
    loader: Annotated[dict, Holds(loader_options)] | None = None,
    transforms: Annotated[str, Check(check_transforms)] | None = None,
    mean_std: Annotated[list[list[float]], Check(_check_mean_std)] | None = None,
) -> dict:
    """One entry of ``data``; transforms and mean_std may come from the network's runtime instead.

    ``dataset`` is a dataset section; with input data it may also hold ``data_cols: "a:b"``, the
    columns of the input to use. ``loader``: see :func:`loader_options`.
    """
    return {
        "dataset": dataset,
        "loader": loader or {},
        "transforms": transforms,
        "mean_std": mean_std,
    }


DataSections = Annotated[dict, Holds(dict[str, Annotated[dict, Section("data")]])]


_NAMES_DATA = "names a data section"
DataName = Annotated[str, _NAMES_DATA]


def section_names(data: str | list[str]) -> list[str]:
    """``epoch_iteration.data`` as a list: one name, or several."""
    return [data] if isinstance(data, str) else data


def named_sections(component, params: dict) -> Iterator[tuple[tuple, object]]:
    """``(path, name)`` of the data sections that a component's parameters name (DataName)."""
    for key, field in registry.schema(component)[0].items():
        if _names_data(field.annotation):
            yield (key,), params.get(key, field.default)


def _names_data(annotation):
    marks, arms = getattr(annotation, "__metadata__", ()), get_args(annotation)
    return _NAMES_DATA in marks or any(map(_names_data, arms))


def _check_parts(section) -> Iterator[tuple[tuple, str]]:
    dataset, loader = section.get("dataset"), section.get("loader")
    if isinstance(dataset, dict):
        dataset = {key: value for key, value in dataset.items() if key != "data_cols"}
        for problem in registry.check(Section("dataset"), dataset, ("dataset",)):
            yield problem.path, problem.message
    if isinstance(loader, dict):
        for problem in check_parameters(loader_options, loader, ("loader",), "loader"):
            yield problem.path, problem.message
        yield from _untold(dataset, loader.get("sampler"))


def _untold(dataset, sampler):
    """What a sampler needs to know of the items and the dataset does not tell."""
    try:
        wanted = getattr(registry.lookup("sampler", sampler["name"]), "needs", ())
        known = registry.lookup("dataset", dataset["name"])
    except (registry.ComponentError, KeyError, TypeError):
        return  # told elsewhere
    for name in wanted:
        if not hasattr(known, name):
            message = (
                f"{sampler['name']} needs to know {name}, the dataset {dataset['name']} tells none"
            )
            yield ("loader", "sampler", "name"), message


data_section.check_section = _check_parts


def check_data_section(section, path: tuple = (), defaults: dict | None = None):
    """Every :class:`Problem` of a data section that is going to be used.

    With ``defaults`` (the network's ``runtime.data``), also that a dataset has its transforms'
    mean_std. Sections that a step does not use are better left unchecked: the published scenarios
    share files between steps and leave some incomplete.
    """
    if not isinstance(section, dict):
        yield Problem(path, f"expected a data section (a mapping), got {section!r}")
        return
    merged = merge_defaults(section, defaults)
    yield from check_parameters(data_section, merged, path, "data section")
    if defaults is not None and not merged.get("mean_std") and _normalizes(merged):
        yield Problem(path, "mean_std is missing: the transforms normalize")


def _normalizes(section):
    return "normalize" in str(section.get("transforms") or "")


def merge_defaults(section: dict, defaults: dict | None) -> dict:
    """A data section over the network's ``runtime.data`` (transforms, mean_std)."""
    return {**(defaults or {}), **{k: v for k, v in section.items() if v is not None}}
