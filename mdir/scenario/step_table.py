"""Names of step functions -> functions: the table of our own and the entry points of others.

Nothing is imported before a function is needed.
"""

import functools
import importlib
from importlib.metadata import entry_points

from cirtorch.utils.errors import suggest
from mdir.stages import ALWAYS_RUN, EVERY_PROCESS, READS_STDIN, STEPS


def is_known(name) -> bool:
    """Whether a step function of that name exists; asks other packages last."""
    return isinstance(name, str) and (name in STEPS or name in _external())


def unknown(name) -> str:
    """The message for an unknown step function."""
    known = sorted([*STEPS, *_external()])
    hint = suggest(name, known) or f" Known: {', '.join(known)}"
    return f"unknown step function {name!r}.{hint}"


def load(name: str):
    """Import the function behind a name.

    Returns:
        a function ``(params, data) -> (metadata, *outputs)``; those made by
        :func:`mdir.stages.step.step` have their typed ``function`` beside.
    """
    if name in STEPS:
        module, _, attribute = STEPS[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    return _external()[name].load()


def reads_stdin(name: str, parameters: dict) -> bool:
    """Whether a step takes the lines of standard input as its data."""
    instead = READS_STDIN.get(name) if name in STEPS else _attribute(name, "reads_stdin")
    return instead is True or (bool(instead) and parameters.get(instead) is None)


def always_runs(name: str) -> bool:
    """Whether a step only shows something, so that it is never skipped."""
    return _declares(name, "always_runs", ALWAYS_RUN)


def in_every_process(name: str) -> bool:
    """Whether a step shares its work among the processes of one launch."""
    return _declares(name, "in_every_process", EVERY_PROCESS)


def _declares(name, attribute, ours):
    return name in ours if name in STEPS else bool(_attribute(name, attribute))


def _attribute(name, attribute):
    """What a function of another package declares; one that cannot be imported declares nothing."""
    try:
        return getattr(load(name), attribute, None)
    except (ImportError, AttributeError):
        return None


@functools.cache
def _external():
    return {entry.name: entry for entry in entry_points(group="mdir.steps")}
