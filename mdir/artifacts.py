"""What a running step reads and writes: told by the steps, kept by the journal.

Outside a journalled run nothing is kept, so everything here also works from Python.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from cirtorch.utils.files import atomic_write


@dataclass
class Artifacts:
    """Absolute paths of files and folders, in the order in which they were told.

    ``files`` are inputs that come in great numbers, such as the images of a data set, by a folder
    above them all. ``made`` are outputs of earlier runs of the same step, ``changed_input`` is the
    input that is no longer what it was when the step last ended well, or when it began to make what
    a stopped run left; ``keep`` keeps in mind what is told so far.
    """

    inputs: list[str] = field(default_factory=list)
    files: dict[str, dict[str, None]] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    changed_input: str | None = None
    keep: Callable[["Artifacts"], None] | None = None


_current: ContextVar[Artifacts | None] = ContextVar("artifacts", default=None)


@contextmanager
def collecting(made=(), changed_input: str | None = None, keep=None):
    """Collect what is told inside the block; yields the :class:`Artifacts`."""
    artifacts = Artifacts(made=list(made), changed_input=changed_input, keep=keep)
    token = _current.set(artifacts)
    try:
        yield artifacts
    finally:
        _current.reset(token)


def used(path: str | os.PathLike) -> None:
    """The step's result depends on this file or folder: when it changes, the step runs again."""
    _tell("inputs", path)


def used_files(paths: Iterable[str | os.PathLike]) -> None:
    """As :func:`used`, of the many files that a list names, images above all."""
    artifacts = _current.get()
    found = dict.fromkeys(map(os.path.abspath, paths)) if artifacts is not None else {}
    if artifacts is not None and found:
        root = os.path.commonpath({os.path.dirname(path) for path in found})
        artifacts.files.setdefault(root, {}).update(found)


def produced(path: str | os.PathLike) -> None:
    """The step made this file or folder: when it is gone or changed, the step runs again."""
    _tell("outputs", path)


def begun() -> None:
    """What a stopped step leaves from now on comes from the inputs that were told so far."""
    artifacts = _current.get()
    if artifacts is not None and artifacts.keep is not None:
        artifacts.keep(artifacts)


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write a file that the step leaves for its user: whole or not at all."""
    with atomic_write(path) as file:
        file.write(content)
    produced(path)


def made_before(folder: str | os.PathLike) -> bool:
    """Whether this step itself produced something in the folder in an earlier run.

    What it made may then be set aside when its parameters changed; other files are not its own.
    """
    artifacts, folder = _current.get(), os.path.abspath(folder)
    made = artifacts.made if artifacts is not None else []
    return any(path == folder or path.startswith(folder + os.sep) for path in made)


def changed_input() -> str | None:
    """The input that changed since the step last ended well, or began: what it made is outdated."""
    artifacts = _current.get()
    return None if artifacts is None else artifacts.changed_input


def _tell(kind, path):
    artifacts = _current.get()
    if artifacts is not None and "://" not in str(path):  # a URL is not a file of ours
        paths, path = getattr(artifacts, kind), os.path.abspath(path)
        if path not in paths:
            paths.append(path)
