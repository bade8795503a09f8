"""What one entry of a scenario's ``data`` may hold, and every mistake in it."""

from collections.abc import Iterator
from typing import Annotated, TypedDict, get_args

from mdir import registry
from mdir.caches import DECODED
from mdir.data.transforms.parse import check_transforms
from mdir.origin import usable_cores
from mdir.registry import Check, Holds, Options, Problem, Section, check_parameters, register
from mdir.registry.ranges import above, at_least

Gibibytes = Annotated[float, above(0)]
_MAX_WORKERS = 6
_ITEMS_A_WORKER = 16  # for fewer, starting a process takes longer than reading them
_SPEED = ("num_workers", "pin_memory", "prefetch_factor", "timeout")
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
        num_workers = min(_MAX_WORKERS, usable_cores(), items // _ITEMS_A_WORKER)
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


def _check_mean_std(value):
    if len(value) != 2 or len(value[0]) != len(value[1]):
        raise ValueError("expected [means, standard deviations], two lists of one length")
    if any(float(std) == 0 for std in value[1]):
        raise ValueError("a standard deviation is zero")


class Columns(TypedDict, total=False):
    """What a dataset section may hold besides the dataset's own.

    Args:
        data_cols: columns of the input to use, ``first:end``; null: all.
    """

    data_cols: str | None


def _check_sampler(section):
    """What a sampler needs of the items and the dataset does not give."""
    try:
        sampler, dataset = section["loader"]["sampler"]["name"], section["dataset"]["name"]
        wanted = getattr(registry.lookup("sampler", sampler), "needs", ())
        known = registry.lookup("dataset", dataset)
    except (registry.ComponentError, KeyError, TypeError):
        return  # told elsewhere
    for name in wanted:
        if not hasattr(known, name):
            message = f"{sampler} needs {name}, which the dataset {dataset} does not give"
            yield Problem(("loader", "sampler", "name"), message)


def _check_cache(section):
    try:
        name = section["dataset"]["name"]
        known = registry.lookup("dataset", name)
    except (registry.ComponentError, KeyError, TypeError):
        return  # told elsewhere
    if section.get(DECODED) is not None and not _takes_cache(known):
        able = [each for each in registry.names("dataset")
                if _takes_cache(registry.lookup("dataset", each))]  # fmt: skip
        message = f"the dataset {name} does not read through it; those are {', '.join(able)}"
        yield Problem((DECODED,), message)


def _takes_cache(dataset):
    return getattr(dataset, "takes_decoded_cache", False)


def _check_section(section):
    yield from _check_sampler(section)
    yield from _check_cache(section)
    dataset = section.get("dataset")
    forgiving = isinstance(dataset, dict) and dataset.get("ignore_errors") is True
    if forgiving and section.get("strict_images") is True:
        message = "true refuses what ignore_errors of the dataset lets pass"
        yield Problem(("strict_images",), message)


@register("data", "", check=_check_section)
def data_section(
    *,
    dataset: Annotated[dict, Section("dataset", beside=Columns)],
    loader: Annotated[dict, Options(loader_options)] | None = None,
    transforms: Annotated[str, Check(check_transforms)] | None = None,
    mean_std: Annotated[list[list[float]], Check(_check_mean_std)] | None = None,
    strict_images: bool = False,
    decoded_cache: Gibibytes | None = None,
) -> dict:
    """One entry of ``data``; transforms and mean_std may come from the network's runtime instead.

    ``loader``: see :func:`loader_options`. ``strict_images``: a picture that is cut short, or
    of a format that does not tell, is an error instead of a warning. ``decoded_cache``: keep
    decoded and shrunk images in ``cache/decoded`` below the root until it holds so many GiB, for
    later epochs and runs; see :mod:`mdir.data.decoded_cache`. Batches are the same to the bit.
    """
    return {
        "dataset": dataset,
        "loader": loader or {},
        "transforms": transforms,
        "mean_std": mean_std,
        "strict_images": strict_images,
        "decoded_cache": decoded_cache,
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


def check_data_section(section, path: tuple = ()):
    """Every :class:`Problem` of a data section that is going to be used.

    Sections that a step does not use are better left unchecked: the published scenarios share files
    between steps and leave some incomplete.
    """
    if not isinstance(section, dict):
        yield Problem(path, f"expected a data section (a mapping), got {section!r}")
        return
    yield from check_parameters(data_section, merge_defaults(section, None), path, "data section")


def without_speed(value):
    """A part of a scenario without caches and the options of loaders that change no batch."""
    if isinstance(value, (list, tuple)):
        return [without_speed(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {key: without_speed(item) for key, item in value.items() if key != DECODED}
    if isinstance(loader := value.get("loader"), dict):
        value["loader"] = {key: item for key, item in loader.items() if key not in _SPEED}
    return value


def merge_defaults(section: dict, defaults: dict | None) -> dict:
    """A data section over the network's ``runtime.data`` (transforms, mean_std)."""
    return {**(defaults or {}), **{k: v for k, v in section.items() if v is not None}}
