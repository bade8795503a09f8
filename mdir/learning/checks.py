"""What the steps that learn and validate check of a scenario before anything starts."""

from mdir.data.sections import check_data_section, named_sections, section_names
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
    for name, path in used.items():
        if name not in data:
            yield Problem(path, unknown("data section", name, data))
        else:
            yield from check_data_section(data[name], ("data", name))


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
