"""What a running step reads and writes: told by the steps, kept by the journal.

Outside a journalled run both functions do nothing, so everything here also works from Python.
"""

import os
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Artifacts:
    """Absolute paths of files and folders, in the order in which they were told."""

    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


_current: ContextVar[Artifacts | None] = ContextVar("artifacts", default=None)


@contextmanager
def collecting():
    """Collect what is told inside the block; yields the :class:`Artifacts`."""
    artifacts = Artifacts()
    token = _current.set(artifacts)
    try:
        yield artifacts
    finally:
        _current.reset(token)


def used(path: str | os.PathLike) -> None:
    """The step's result depends on this file or folder: when it changes, the step runs again."""
    _tell("inputs", path)


def produced(path: str | os.PathLike) -> None:
    """The step made this file or folder: when it is gone or changed, the step runs again."""
    _tell("outputs", path)


def _tell(kind, path):
    artifacts = _current.get()
    if artifacts is not None and "://" not in str(path):  # a URL is no file of ours
        paths, path = getattr(artifacts, kind), os.path.abspath(path)
        if path not in paths:
            paths.append(path)
