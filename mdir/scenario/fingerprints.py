"""Whether files and folders are still what they were: size and time, content where they differ."""

import os
from itertools import islice

from cirtorch.utils.files import files_below
from cirtorch.utils.general import sha256_hash

MAX_HASHED = 256 * 2**20
MAX_LISTED = 2000


def fingerprint(path: str) -> dict:
    """What is remembered of a file or folder.

    Returns:
        ``kind`` "missing", or "file" with ``size`` (bytes), ``time`` (ns) and, up to 256 MiB,
        ``sha256``, or "folder" with ``files`` {relative path: [size, time]}, at most 2000 of them.
    """
    if os.path.isdir(path):
        return {"kind": "folder", "files": _listing(path)}
    try:
        status = os.stat(path)
        sha256 = sha256_hash(path, length=None) if status.st_size <= MAX_HASHED else None
    except OSError:
        return {"kind": "missing"}
    return {
        "kind": "file",
        "size": status.st_size,
        "time": status.st_mtime_ns,
        "sha256": sha256,
    }


def difference(path: str, recorded: dict, may_grow: bool = False) -> str | None:
    """How a file or folder differs from its fingerprint (``"missing: PATH"``), None if it does not.

    Args:
        path: the file or folder now.
        recorded: its fingerprint of before.
        may_grow: new files in a folder make no difference.
    """
    kind = recorded["kind"]
    if not os.path.lexists(path):
        return None if kind == "missing" else f"missing: {path}"
    if kind == "folder" and os.path.isdir(path):
        return _folder_difference(path, recorded["files"], may_grow)
    if kind != "file" or not os.path.isfile(path):
        return f"changed: {path}"
    status = os.stat(path)
    if status.st_size != recorded["size"]:
        return f"changed: {path}"
    if status.st_mtime_ns == recorded["time"]:
        return None
    same = recorded["sha256"] and sha256_hash(path, length=None) == recorded["sha256"]
    return None if same else f"changed: {path}"


def is_fingerprint(value) -> bool:
    """Whether a value that was read has the form that :func:`fingerprint` gives."""
    if not isinstance(value, dict):
        return False
    kind, files = value.get("kind"), value.get("files")
    if kind == "folder":
        pairs = files.values() if isinstance(files, dict) else [None]
        return all(isinstance(pair, list) and len(pair) == 2 for pair in pairs)
    return kind == "missing" or (kind == "file" and {"size", "time", "sha256"} <= value.keys())


def content(recorded: dict):
    """The part of a fingerprint that a copy shares: no times."""
    if recorded["kind"] == "folder":
        return sorted((name, size) for name, (size, _) in recorded["files"].items())
    return [recorded["kind"], recorded.get("size"), recorded.get("sha256")]


def _listing(folder):
    files: dict[str, list[int]] = {}
    for entry in islice(files_below(folder, hidden=True), MAX_LISTED):
        files[os.path.relpath(entry.path, folder)] = _size_and_time(entry.path)
    return files


def _size_and_time(path):
    try:
        status = os.stat(path)
    except OSError:
        return [-1, 0]
    return [status.st_size, status.st_mtime_ns]


def _folder_difference(folder, files, may_grow):
    for name, recorded in files.items():
        path = os.path.join(folder, name)
        if not os.path.lexists(path):
            return f"missing: {path}"
        if _size_and_time(path) != recorded:
            return f"changed: {path}"
    if not may_grow:
        for name in _listing(folder):
            if name not in files and len(files) < MAX_LISTED:
                return f"new file: {os.path.join(folder, name)}"
    return None
