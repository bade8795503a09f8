"""What the steps that learn and validate check of a scenario before anything starts."""

from cirtorch.utils.errors import is_slip, nearest
from mdir.data.sections import (
    check_data_section,
    data_section,
    loader_options,
    named_sections,
    section_names,
)
from mdir.networks.runtime import check_runtime
from mdir.registry import ComponentError, Problem, is_unresolved, lookup, schema, unknown, within


def validation_sections(validation, path: tuple):
    """``(path, section)`` of each single validation of a ``validation`` value."""
    if not isinstance(validation, dict):
        return
    path = (*path, "validation")
    if validation.get("type") == "SingleValidation":
        yield path, validation
        return
    for name, section in validation.items():
        if isinstance(section, dict):
            yield (*path, name), section


def frequency_problems(validation, path: tuple, epochs):
    """Validations that a training of so many epochs never comes to."""
    for place, section in validation_sections(validation, path):
        frequency = section.get("frequency")
        if isinstance(frequency, int) and isinstance(epochs, int) and frequency > epochs > 0:
            score = section.get("criterion")
            kind = component("score", score.get("type")) if isinstance(score, dict) else None
            if not getattr(kind, "at_end", False):
                message = f"is for every {frequency} epochs, of which there are {epochs}: never"
                yield Problem((*place, "frequency"), message, warns=True)


def overlay_problems(validation, path: tuple, network):
    """Problems of the overlays that validations lay over a network section's runtime."""
    for place, section in validation_sections(validation, path):
        overlay = section.get("network_overlay")
        yield from within((*place, "network_overlay"), _overlay_problems(overlay, network))


def _overlay_problems(overlay, network):
    if not isinstance(overlay, dict):
        return
    network = network if isinstance(network, dict) else {}
    members = {name: each for name, each in network.items()
               if isinstance(each, dict) and "type" in each}  # fmt: skip
    is_known = bool(members) or network.get("type") in ("SingleNetwork", "CirNetwork")
    allowed = [*members, "sequence", "rearrange_wrappers"] if members else ["runtime"]
    for key, value in overlay.items():
        if is_unresolved(key):
            continue
        if key not in allowed and (is_known or is_slip(str(key), "runtime")):
            yield Problem((key,), unknown("part of a network", key, allowed, overlay))
        elif key == "runtime" and isinstance(value, dict):
            yield from within((key,), check_runtime(value))
        else:
            yield from within((key,), _overlay_problems(value, members.get(key)))


def data_problems(wanted, data):
    """Problems of the data sections that are used; others may be incomplete.

    Args:
        wanted: ``(path, name of a data section or None)`` of every use.
        data: the step's data sections.
    """
    if not isinstance(data, dict):
        return
    used: dict[str, tuple] = {}
    for path, name in wanted:
        if isinstance(name, str) and not is_unresolved(name):
            used.setdefault(name, path)
    for name in data:
        if name not in used and not is_unresolved(name):
            yield from _unused_problems(name, data, used)
    for name, path in used.items():
        if name not in data:
            yield Problem(path, unknown("data section", name, data))
        else:
            yield from check_data_section(data[name], ("data", name))


def _unused_problems(name, data, used):
    """A section that nobody uses: misspelt, or left over, with keys that mean nothing."""
    section, absent = data[name], [each for each in used if each not in data]
    meant = nearest(name, absent)
    is_part = isinstance(section, dict) and "dataset" not in section
    if meant is None and is_part:  # what it was to cover is there
        meant = next((each for each in used if is_slip(str(name), each)), None)
    if meant is not None:
        yield Problem(("data", name), f"nothing uses this data section. Did you mean {meant!r}?")
    elif isinstance(section, dict):
        yield from within(("data", name), _unknown_keys(section))


def _unknown_keys(section):
    """Keys that mean nothing, of a data section that nobody uses and that may lack others."""
    dataset = section.get("dataset")
    parts: list[tuple[tuple, object, object]] = [((), section, data_section)]
    parts.append((("loader",), section.get("loader"), loader_options))
    if isinstance(dataset, dict):
        rest = {key: item for key, item in dataset.items() if key not in ("name", "data_cols")}
        known = component("dataset", dataset.get("name", ""))
        if known is not None:
            parts.append((("dataset",), rest, known))
        elif "name" not in dataset:
            slips = [key for key in dataset if is_slip(str(key), "name")]
            yield from (Problem(("dataset", key), unknown("key", key, ["name"])) for key in slips)
    for path, part, known in parts:
        fields, others = schema(known)
        for key in part if isinstance(part, dict) and others is None else ():
            if key not in fields and not is_unresolved(key):
                yield Problem((*path, key), unknown("parameter", key, fields, part))


def method_sections(iteration: dict):
    """``(path, name)`` of the data sections that ``epoch_iteration`` and its method name."""
    data = iteration.get("data")
    if isinstance(data, list):
        yield from ((("data", at), name) for at, name in enumerate(data))
    else:
        yield ("data",), data
    method = component("method", iteration.get("type"))
    if method is not None:
        yield from named_sections(method, iteration)


def component(kind: str, name):
    """The component of that name, None where there is none (which is told elsewhere)."""
    try:
        return lookup(kind, name)
    except ComponentError:
        return None


def method_problems(training: dict, iteration: dict, data):
    """What a method says of the loss, the number of data sections, the views and the batch.

    Args:
        training, iteration: ``learning.training`` of the step and its ``epoch_iteration``.
        data: the step's data sections.
    """
    method = component("method", iteration.get("type"))
    yield from _criterion_problems(method, training, iteration)
    names = iteration.get("data")
    if method is None or not isinstance(names, (str, list)):
        return
    names = section_names(names)
    if len(names) not in method.streams:
        admitted = " or ".join(map(str, method.streams))
        message = f"{iteration['type']} learns from {admitted} of the data sections, got {names}"
        yield Problem(("learning", "training", "epoch_iteration", "data"), message)
    for name in names if method.views is not None else ():
        section = data.get(name) if isinstance(data, dict) and isinstance(name, str) else None
        if isinstance(section, dict):
            found = _views_problems(iteration["type"], method.views, section)
            yield from within(("data", name), found)


def _criterion_problems(method, training, iteration):
    wanted = getattr(method, "criterion_name", None)
    path: tuple[str, ...] = ("epoch_iteration", "criterion")
    criterion = iteration.get("criterion")
    if criterion == "default":
        path, criterion = ("criterion",), training.get("criterion")
    given = criterion.get("loss") if isinstance(criterion, dict) else None
    wanted = (wanted,) if isinstance(wanted, str) else wanted
    if wanted and isinstance(given, str) and not is_unresolved(given) and given not in wanted:
        admitted = " or ".join(map(repr, wanted))
        message = f"the method {iteration['type']} takes the criterion {admitted}, got {given!r}"
        yield Problem(("learning", "training", *path, "loss"), message)
    if method is not None and isinstance(criterion, dict):
        found = method.check_criterion(iteration, criterion)
        yield from within(("learning", "training", *path), found)


def _views_problems(name, views, section):
    dataset, loader = section.get("dataset"), section.get("loader")
    if isinstance(dataset, dict):
        known = component("dataset", dataset.get("name"))
        fields = schema(known)[0] if known else {}
        if known and "views" not in fields:
            message = f"{name} learns from views, which this dataset has not"
            yield Problem(("dataset", "name"), message)
        text = dataset.get("views", fields["views"].default if "views" in fields else None)
        if isinstance(text, str) and not is_unresolved(text) and len(text.split(",")) != views:
            message = f"{name} takes {views} of an image, got {text!r}"
            yield Problem(("dataset", "views"), message)
    if isinstance(loader, dict) and loader.get("batch_size") == 1:
        message = f"{name} needs 2 or more: its network is normalised over the batch"
        yield Problem(("loader", "batch_size"), message)
