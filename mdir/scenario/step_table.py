"""Names of steps -> their records and functions: our own table and the entry points of others.

Nothing is imported before a function, or the record of another package, is needed.
"""

import functools
from importlib.metadata import EntryPoint, entry_points

from cirtorch.utils.errors import suggest
from mdir.registry import plugins
from mdir.stages import STEPS, StepEntry

GROUP = "mdir.steps"
# A function of another package may say by attributes what a record has in its fields.
ATTRIBUTES = {"stdin": "reads_stdin", "always": "always_runs", "divided": "in_every_process"}


def is_known(name) -> bool:
    """Whether a step function of that name exists; asks other packages last."""
    return isinstance(name, str) and (name in STEPS or name in _external())


def names() -> list[str]:
    """All names of step functions, sorted."""
    return sorted([*STEPS, *_external()])


def unknown(name) -> str:
    """The message for an unknown step function."""
    known = names()
    hint = suggest(name, known) or f" Known: {', '.join(known)}"
    return f"unknown step function {name!r}.{hint}"


@functools.cache
def entry(name: str) -> StepEntry:
    """The record of a step; one of another package that cannot be imported declares nothing."""
    if name in STEPS:
        return STEPS[name]
    external = _external()[name]
    try:
        found = plugins.load(external)
    except plugins.PluginError:
        found = None
    if isinstance(found, StepEntry):
        return found
    declared = {k: getattr(found, a) for k, a in ATTRIBUTES.items() if hasattr(found, a)}
    return StepEntry(external.value, **declared)


def load(name: str):
    """Import the function behind a name.

    Returns:
        a function ``(params, data) -> (metadata, *outputs)``; those made by
        :func:`mdir.stages.step.step` have their typed ``function`` beside.

    Raises:
        PluginError: it cannot be imported; the message says why.
    """
    return plugins.load(EntryPoint(name, entry(name).place, GROUP))


@functools.cache
def _external():
    return {point.name: point for point in entry_points(group=GROUP)}
