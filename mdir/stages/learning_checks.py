"""What the steps that learn and validate check of a scenario before anything starts."""

from mdir.data.loading import check_data_section
from mdir.registry import is_unresolved, unknown


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
    used = {}
    for path, name in wanted:
        if isinstance(name, str) and not is_unresolved(name):
            used.setdefault(name, path)
    for name, path in used.items():
        if name not in data:
            yield path, unknown("data section", name, data)
            continue
        for problem in check_data_section(data[name], ("data", name)):
            yield problem.path, problem.message
