"""Whether files and folders are still what they were: size and times, content where they moved.

Files in great numbers cost a call of the operating system each, and no reading: their content is
remembered only where there is little of it.
"""

import os
from collections.abc import Iterable, Iterator

from cirtorch.utils.files import files_below
from cirtorch.utils.general import sha256_hash

MAX_HASHED = 256 * 2**20
MAX_HASHED_FILES = 5000
GONE = "gone"
OLD_LISTED = 2000  # of a folder, version 1.0.0 remembered at most so many files


def fingerprint(path: str) -> dict:
    """What is remembered of a file or folder.

    Returns:
        ``kind`` "missing", or "file" with ``stamp`` (size in bytes, times of content and status in
        ns) and, up to 256 MiB, ``sha256``, or "folder" with ``files`` {relative path: stamp} and,
        up to 256 MiB and 5000 files in all, ``sha256`` {relative path: digest}.
    """
    if os.path.isdir(path):
        return {"kind": "folder", **_remember(path, _listing(path))}
    found = _remember(os.path.dirname(path), {os.path.basename(path): _stamp(path)})
    ((name, stamp),) = found["files"].items()
    if stamp == GONE:
        return {"kind": "missing"}
    return {"kind": "file", "stamp": stamp, "sha256": found["sha256"].get(name)}


def fingerprint_files(root: str, paths: Iterable[str]) -> dict:
    """What is remembered of many files below ``root``: as of a folder, its kind is "files"."""
    start = len(os.path.join(root, ""))
    files = {path[start:]: _stamp(path) for path in paths}
    return {"kind": "files", **_remember(root, files)}


def difference(path: str, recorded: dict, may_grow: bool = False) -> str | None:
    """How a file or folder differs from its fingerprint (``"missing: PATH"``), None if it does not.

    Args:
        path: the file or folder now; of "files" the folder above them.
        recorded: its fingerprint of before.
        may_grow: new files in a folder make no difference.
    """
    kind = recorded["kind"]
    if kind == "files":
        return _members_difference(path, recorded)
    if not os.path.lexists(path):
        return None if kind == "missing" else f"missing: {path}"
    if kind == "folder" and os.path.isdir(path):
        change = _members_difference(path, recorded)
        return change or (None if may_grow else _new_file(path, recorded["files"]))
    if kind != "file" or not os.path.isfile(path):
        return f"changed: {path}"
    return _difference(path, _stamp(path), _stamp_of(recorded), recorded["sha256"])


def is_fingerprint(value) -> bool:
    """Whether a value that was read has a form that is given here, or was in older versions."""
    if not isinstance(value, dict):
        return False
    kind, files = value.get("kind"), value.get("files")
    if kind in ("folder", "files"):
        is_old = "sha256" not in value
        stamps = files.values() if isinstance(files, dict) else [None]
        return all(_is_pair(each) if is_old else isinstance(each, str) for each in stamps)
    known = value.keys()
    return kind == "missing" or (
        kind == "file" and ({"stamp", "sha256"} <= known or {"size", "time", "sha256"} <= known)
    )


def content(recorded: dict):
    """The part of a fingerprint that a copy shares: no times where the content is known."""
    if recorded["kind"] in ("folder", "files"):
        digests = recorded["sha256"]
        return sorted((name, digests.get(name, was)) for name, was in recorded["files"].items())
    if recorded["kind"] == "missing":
        return ["missing", None, None]
    return ["file", recorded["stamp"].split()[0], recorded["sha256"] or recorded["stamp"]]


def within(path: str, places: set[str]) -> bool:
    """Whether a path is one of some places or lies below one."""
    while path not in places:
        path, below = os.path.dirname(path), path
        if path == below:
            return False
    return True


def meets(path: str, recorded: dict, made: set[str]) -> bool:
    """Whether what a fingerprint of ``path`` tells of was among files and folders made since."""
    if recorded["kind"] == "folder" and any(within(place, {path}) for place in made):
        return True
    names = recorded.get("files", ())
    return within(path, made) or any(within(os.path.join(path, name), made) for name in names)


def _remember(folder, files):
    """Stamps and, where that is little to read, digests of files, by path relative to a folder."""
    sizes = [_size(stamp) for stamp in files.values()]
    little = len(sizes) <= MAX_HASHED_FILES and sum(sizes) <= MAX_HASHED
    digests = {}
    for name, stamp in files.items() if little else ():
        digest = _digest(os.path.join(folder, name)) if stamp != GONE else None
        if digest is not None:
            digests[name] = digest
    return {"files": files, "sha256": digests}


def _digest(path):
    try:
        return sha256_hash(path, length=None)
    except OSError:
        return None


def _listing(folder) -> dict[str, str]:
    start = len(os.path.join(folder, ""))
    found = files_below(folder, hidden=True)
    return {entry.path[start:]: _stamp(entry.path) for entry in found}


def _stamp(path) -> str:
    """Size, time of the content, time of the status; one text, quick to compare and to keep."""
    try:
        status = os.stat(path)
    except OSError:
        return GONE
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def _size(stamp):
    return 0 if stamp == GONE else int(stamp.split()[0])


def _members_difference(folder, recorded):
    digests = recorded.get("sha256", {})
    for name, was in _stamps_of(recorded):
        path = os.path.join(folder, name)
        stamp = _stamp(path)
        if stamp != was:
            change = _difference(path, stamp, was, digests.get(name))
            if change:
                return change
    return None


def _new_file(folder, files):
    if any(map(_is_pair, files.values())) and len(files) >= OLD_LISTED:
        return None
    new = next((name for name in _listing(folder) if name not in files), None)
    return None if new is None else f"new file: {os.path.join(folder, new)}"


def _difference(path, stamp, was, digest):
    """How a file differs whose stamp may have changed; content decides where it is known."""
    if stamp == was:
        return None
    if GONE in (stamp, was):
        return f"missing: {path}" if stamp == GONE else f"changed: {path}"
    (size, time, _), (old_size, old_time, *status) = stamp.split(), was.split()
    if size == old_size and time == old_time and not (status and digest):
        return None
    if size == old_size and digest and _digest(path) == digest:
        return None
    return f"changed: {path}"


def _stamps_of(recorded) -> Iterator[tuple[str, str]]:
    for name, was in recorded["files"].items():
        yield name, was if isinstance(was, str) else _old_stamp(*was)


def _stamp_of(recorded):
    return recorded.get("stamp") or _old_stamp(recorded["size"], recorded["time"])


def _old_stamp(size, time):
    return GONE if size == -1 else f"{size} {time}"


def _is_pair(value):
    return isinstance(value, list) and len(value) == 2
