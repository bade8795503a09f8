"""Settings that no step reads: misspelt most likely, and so without any effect."""

from collections.abc import Iterable, Iterator

from cirtorch.utils.errors import nearest, suggest
from mdir.registry import Problem
from mdir.registry.annotations import VARIABLE
from mdir.scenario.plan import FUNCTION, Plan, Scenario
from mdir.scenario.tree import Located, Node

SETTINGS = "mdir.stages.settings.settings"


def unread_settings(plan: Plan) -> Iterator[Located]:
    """A problem for every setting of a plan that nothing in the scenario reads.

    One that covers what another file wrote, or is near to one that is missing, is refused; a step
    may hold others of its own for its reader.
    """
    for step in plan.steps:
        if step.function == SETTINGS:
            read = set(_read_keys(step.name, _texts(plan.scenario)))
            if None not in read:
                yield from _unread_keys(plan, step, read)


def _unread_keys(plan, step, read):
    home = step.node.value[FUNCTION].place.source
    missing = [key for key in read if key not in step.parameters]
    for key, node in step.node.value.items():
        if key in read or key == FUNCTION or not isinstance(key, str):
            continue
        hint = suggest(key, missing) if nearest(key, missing) else suggest(key, read)
        warns = node.where.source == home and not nearest(key, missing)
        message = f"no step reads this setting.{hint}"
        path = (plan.target, step.name, key)
        yield Located(Problem(path, message.rstrip("."), warns), node.where)


def _read_keys(step, texts) -> Iterator[str | None]:
    """The settings that variables name; None where one names all of them."""
    for text in texts:
        for match in VARIABLE.finditer(text):
            name = match[1] or match[2]
            if name in (step, f"{step}.parameters"):
                yield None
            elif name.startswith(f"{step}."):
                yield name.removeprefix(f"{step}.").removeprefix("parameters.").split(".")[0]


def _texts(scenario: Scenario) -> Iterable[str]:
    return _texts_of(Node(scenario.targets, scenario.tree.place))


def _texts_of(node):
    if isinstance(node.value, dict):
        yield from (key for key in node.value if isinstance(key, str))
        for child in node.value.values():
            yield from _texts_of(child)
    elif isinstance(node.value, list):
        for child in node.value:
            yield from _texts_of(child)
    elif isinstance(node.value, str):
        yield node.value
