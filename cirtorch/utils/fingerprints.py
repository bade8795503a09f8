"""Whether files and folders are still what they were: size and times, content where they moved.

A file is read for its digest once in the life of a process, and again where its size or times are
others; as long as they are not, it costs a call of the operating system.
"""

import os
from collections.abc import Iterable, Iterator
from multiprocessing.pool import ThreadPool

from cirtorch.utils.files import files_below
from cirtorch.utils.general import sha256_hash

MAX_HASHED = 32 * 2**30
GONE = "gone"
OLD_LISTED = 2000  # of a folder, version 1.0.0 remembered at most so many files
_THREADS = 8
_SMALL, _LARGE = 2**24, 2**30  # bytes: not worth threads, and long enough to be told of
_digests: dict[str, tuple[str, str]] = {}  # stamp and SHA-256 by path


def fingerprint(path: str) -> dict:
    """What is remembered of a file or folder.

    Returns:
        ``kind`` "missing", or "file" with ``stamp`` (size in bytes, times of content and status in
        ns) and ``sha256``, or "folder" with ``files`` {relative path: stamp} and ``sha256``
        {relative path: digest}. Of more than 32 GiB there are no digests.
    """
    return with_digests(path, glance(path))


def glance(path: str) -> dict:
    """As :func:`fingerprint`, before anything is read: without digests."""
    if os.path.isdir(path):
        return {"kind": "folder", "files": _listing(path), "sha256": {}}
    stamp = stamp_of(path)
    if stamp == GONE:
        return {"kind": "missing"}
    return {"kind": "file", "stamp": stamp, "sha256": None}


def as_files(root: str, stamps: dict[str, str]) -> dict:
    """As of a folder, of some files below ``root``: their stamps by path; its kind is "files"."""
    start = len(os.path.join(root, ""))
    files = {path[start:]: stamp for path, stamp in stamps.items()}
    return {"kind": "files", "files": files, "sha256": {}}


def with_digests(path: str, seen: dict) -> dict:
    """What :func:`glance` saw, and the digests of files that are still what it saw."""
    found = _read({place: stamp for place, _, stamp in _members(path, seen)})
    if seen["kind"] == "file":
        return {**seen, "sha256": found.get(path)}
    if seen["kind"] == "missing":
        return seen
    names = {place: name for place, name, _ in _members(path, seen)}
    return {**seen, "sha256": {names[place]: digest for place, digest in found.items()}}


def contents(paths: Iterable[str]) -> dict[str, str]:
    """What files hold, by path: digests, or size and times where there are none."""
    stamps = {path: stamp_of(path) for path in paths}
    return stamps | _read(stamps)


def stamp_of(path: str) -> str:
    """Size, time of the content, time of the status; one text, quick to compare and to keep."""
    try:
        status = os.stat(path)
    except OSError:
        return GONE
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def differences(path: str, recorded: dict, may_grow: bool = False) -> list[str]:
    """How a file or folder differs from its fingerprint (``"missing: PATH"``); empty: not at all.

    Args:
        path: the file or folder now; of "files" the folder above them.
        recorded: its fingerprint of before.
        may_grow: new files in a folder make no difference.
    """
    kind = recorded["kind"]
    if kind != "files":
        if not os.path.lexists(path):
            return [] if kind == "missing" else [f"missing: {path}"]
        fits = {"folder": os.path.isdir, "file": os.path.isfile}.get(kind)
        if fits is None or not fits(path):
            return [f"changed: {path}"]
    listed = _listing(path) if kind == "folder" else {}
    moved, alike = {}, {}
    for place, name, was in _members(path, recorded):
        stamp, digest = listed.get(name) or stamp_of(place), _digest_of(recorded, name)
        if stamp != was:
            moved[place] = stamp, was, digest
            if digest and _size(stamp) == _size(was):
                alike[place] = stamp
        elif digest:
            _digests[place] = stamp, digest
    now = _read(alike)
    found = [_difference(place, *known, now.get(place)) for place, known in moved.items()]
    if kind == "folder" and not may_grow:
        found += _new_files(path, listed, recorded["files"])
    return [change for change in found if change]


def refresh(path: str, recorded: dict) -> bool:
    """Take over the stamps of files that moved and were found equal; whether there were any.

    They would be read again by every later run.
    """
    stamps = {}
    for place, name, was in _members(path, recorded):
        stamp, digest = _digests.get(place, (was, None))
        if stamp != was and digest == _digest_of(recorded, name):
            stamps[name] = stamp
    if stamps and recorded["kind"] == "file":
        (recorded["stamp"],) = stamps.values()
    elif stamps:
        recorded["files"].update(stamps)
    return bool(stamps)


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


def _members(path, recorded) -> Iterator[tuple[str, str, str]]:
    """Path, name and stamp of every file that a fingerprint tells of."""
    if recorded["kind"] == "file":
        yield path, "", recorded.get("stamp") or _old_stamp(recorded["size"], recorded["time"])
    for name, was in recorded.get("files", {}).items():
        yield os.path.join(path, name), name, was if isinstance(was, str) else _old_stamp(*was)


def _digest_of(recorded, name):
    digests = recorded.get("sha256")
    return digests.get(name) if isinstance(digests, dict) else digests


def _listing(folder) -> dict[str, str]:
    start = len(os.path.join(folder, ""))
    found = files_below(folder, hidden=True)
    return {entry.path[start:]: stamp_of(entry.path) for entry in found}


def _size(stamp):
    return 0 if stamp == GONE else int(stamp.split()[0])


def _read(stamps: dict[str, str]) -> dict[str, str]:
    """Digests by path of files that have these stamps, before and after they are read.

    There are none of more than 32 GiB in all.
    """
    if sum(map(_size, stamps.values())) > MAX_HASHED:
        return {}
    wanted = [
        path
        for path, stamp in stamps.items()
        if stamp != GONE and _digests.get(path, ("",))[0] != stamp
    ]
    for path, digest in zip(wanted, _digests_of(wanted, stamps), strict=True):
        if digest is not None and stamp_of(path) == stamps[path]:
            _digests[path] = stamps[path], digest
    found = {path: _digests[path] for path in stamps if path in _digests}
    return {path: digest for path, (stamp, digest) in found.items() if stamp == stamps[path]}


def _digests_of(paths, stamps):
    total = sum(_size(stamps[path]) for path in paths)
    if total < _SMALL:
        yield from map(_digest, paths)
        return
    with ThreadPool(_THREADS) as pool:
        found = pool.imap(_digest, paths, chunksize=16)
        if total < _LARGE:
            yield from found
        else:
            from cirtorch.utils.progress import progress  # needed for large data alone

            what = f"reading {total / 2**30:.1f} GiB of inputs, to notice when they change"
            yield from progress(found, len(paths), what)


def _digest(path):
    try:
        return sha256_hash(path, block_size=2**20, length=None)
    except OSError:
        return None


def _new_files(folder, listed, files):
    if any(map(_is_pair, files.values())) and len(files) >= OLD_LISTED:
        return []
    return [f"new file: {os.path.join(folder, name)}" for name in listed if name not in files]


def _difference(path, stamp, was, old_digest, digest):
    """How a file differs whose stamp moved; content decides where it is known."""
    if GONE in (stamp, was):
        return f"missing: {path}" if stamp == GONE else f"changed: {path}"
    if digest is not None and digest == old_digest:
        return None
    old, new = was.split(), stamp.split()
    if new[: len(old)] == old:  # of version 1.0.0, which kept no time of the status
        return None
    if old_digest or new[:2] != old[:2]:
        return f"changed: {path}"
    return f"perhaps changed (its status was, and its content is not remembered): {path}"


def _old_stamp(size, time):
    return GONE if size == -1 else f"{size} {time}"


def _is_pair(value):
    return isinstance(value, list) and len(value) == 2
