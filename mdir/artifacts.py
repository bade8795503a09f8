"""What a running step reads and writes: told by the steps, kept by the journal.

Outside a journalled run nothing is kept, so everything here also works from Python.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property

from cirtorch.utils.files import atomic_write
from cirtorch.utils.fingerprints import as_files, glance, stamp_of, with_digests, within


@dataclass
class Artifacts:
    """Absolute paths of files and folders, in the order in which they were told.

    ``files`` are inputs that come in great numbers, such as the images of a data set, by a folder
    above them all. ``made`` are outputs of earlier runs of the same step, ``changed`` tells of
    inputs that are no longer what they were when the step last ended well, or when it began to make
    what a stopped run left (``"input changed: PATH"``); ``keep`` keeps in mind what is told so far.
    ``before`` reads the journal of the steps before this one.
    """

    inputs: list[str] = field(default_factory=list)
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    keep: Callable[["Artifacts"], None] | None = None
    before: Callable[[], list[dict]] | None = None
    _seen: dict[str, dict] = field(default_factory=dict)

    @cached_property
    def places(self) -> set[str]:
        """What earlier runs made, and the folders above that."""
        found = set()
        for path in self.made:
            while path not in found:
                found.add(path)
                path = os.path.dirname(path)
        return found

    def see(self, path: str) -> None:
        """Take an input as it is now."""
        if path not in self._seen:
            self.inputs.append(path)
            self._seen[path] = glance(path)

    def see_files(self, paths: Iterable[str]) -> None:
        """Take many inputs as they are now."""
        root = os.path.commonpath({os.path.dirname(path) for path in paths})
        known = self.files.setdefault(root, {})
        known.update({path: stamp_of(path) for path in paths if path not in known})

    def fingerprints(self) -> dict[str, dict]:
        """Of the inputs as they were when they were told, by path.

        What lies in the step's own outputs is not an input: it would change with every run.
        """
        outputs = set(self.outputs)
        told = [path for path in self.inputs if not within(path, outputs)]
        seen = {path: self._besides_outputs(path, outputs) for path in told}
        known = outputs.union(path for path in told if seen[path]["kind"] == "folder")
        for root, files in self.files.items():
            many = {path: stamp for path, stamp in files.items() if not within(path, known)}
            if many:
                seen[root] = as_files(root, many)
        return {path: with_digests(path, each) for path, each in seen.items()}

    def _besides_outputs(self, folder, outputs):
        """What was seen of a folder; of the step's outputs in it, what they are by now."""
        seen = self._seen[folder]
        if seen["kind"] != "folder" or not any(within(path, {folder}) for path in outputs):
            return seen
        then, now = seen["files"].items(), glance(folder).get("files", {}).items()
        files = {n: s for n, s in then if not within(os.path.join(folder, n), outputs)}
        made = {n: s for n, s in now if within(os.path.join(folder, n), outputs)}
        return {**seen, "files": files | made}


_current: ContextVar[Artifacts | None] = ContextVar("artifacts", default=None)


@contextmanager
def collecting(made=(), changed=(), keep=None, before=None):
    """Collect what is told inside the block; yields the :class:`Artifacts`."""
    artifacts = Artifacts(made=list(made), changed=list(changed), keep=keep, before=before)
    token = _current.set(artifacts)
    try:
        yield artifacts
    finally:
        _current.reset(token)


def used(path: str | os.PathLike) -> None:
    """The step's result depends on this file or folder: when it changes, the step runs again.

    To be told before it is read: what it is at that moment counts.
    """
    artifacts = _current.get()
    if artifacts is not None and not _is_url(path):
        artifacts.see(os.path.abspath(path))


def used_files(paths: Iterable[str | os.PathLike]) -> None:
    """As :func:`used`, of the many files that a list names, images above all."""
    artifacts = _current.get()
    found = dict.fromkeys(map(os.path.abspath, paths)) if artifacts is not None else {}
    if artifacts is not None and found:
        artifacts.see_files(found)


def produced(path: str | os.PathLike) -> None:
    """The step made this file or folder: when it is gone or changed, the step runs again."""
    artifacts = _current.get()
    if artifacts is not None and not _is_url(path):
        path = os.path.abspath(path)
        if path not in artifacts.outputs:
            artifacts.outputs.append(path)


def begun(folder: str | os.PathLike | None = None) -> None:
    """What a stopped step leaves from now on comes from the inputs that were told so far.

    Args:
        folder: all that is in it is the step's own, also where it is stopped before it can tell
            what it produced.
    """
    artifacts = _current.get()
    if artifacts is not None and artifacts.keep is not None:
        if folder is not None:
            artifacts.made.append(os.path.abspath(folder))
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
    artifacts = _current.get()
    return artifacts is not None and os.path.abspath(folder) in artifacts.places


def changed_input() -> str | None:
    """The first input that changed since the step last ended well, or began; None: none did.

    What the step made is outdated.
    """
    artifacts = _current.get()
    return next(iter(artifacts.changed), None) if artifacts is not None else None


def changed_files() -> set[str]:
    """The paths of all those inputs."""
    artifacts = _current.get()
    changed = artifacts.changed if artifacts is not None else []
    return {change.partition(": ")[2] for change in changed}


def steps_before() -> list[dict]:
    """The journal's records of the steps before this one, in their order; [] where none is kept."""
    artifacts = _current.get()
    return artifacts.before() if artifacts is not None and artifacts.before is not None else []


def is_recorded() -> bool:
    """Whether somebody keeps in mind what is told."""
    return _current.get() is not None


def inputs_so_far() -> dict[str, dict] | None:
    """Fingerprints of the inputs that were told, by path; None where nothing is kept."""
    artifacts = _current.get()
    return None if artifacts is None else artifacts.fingerprints()


def _is_url(path):
    return "://" in str(path)  # a URL is not a file of ours
