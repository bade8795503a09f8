"""Writing that never leaves half a file under a final name."""

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ROOM = 200  # bytes of a name that a temporary file beside it begins with; 255 is the usual limit

_OURS = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp", re.DOTALL)
_swept: set[str] = set()  # folders, by this process


@contextmanager
def atomic_write(path: str | os.PathLike, mode: str = "wb", durable: bool = True, **open_args):
    """Open a file beside ``path`` and rename it onto ``path`` when the block ends well.

    Folders are made. When the block raises, ``path`` stays as it was and the file beside it is
    removed. The rename happens after an fsync, so a power cut leaves the old or the new file. What
    a killed process left in the folder, half written, is removed by the next one that writes there.

    Args:
        durable: whether to fsync; a file whose reader notices damage can do without.

    Raises:
        OSError: with the final path as ``filename``, whatever the cause (full disk, no permission).
    """
    path = Path(path)
    temporary = watched = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(path.parent)
        descriptor, temporary = _temporary(path)
        with os.fdopen(descriptor, mode, **open_args) as file:
            watched = _Watched(file)
            yield watched
            file.flush()
            if durable:
                os.fsync(descriptor)
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)  # while the lock is held: once closed, it may be swept
            temporary = None
    except Exception as error:
        cause = (watched and watched.failure) or error
        if not isinstance(cause, OSError) or cause.errno is None:
            raise
        raise type(cause)(cause.errno, cause.strerror, str(path)) from error
    finally:
        if temporary is not None and os.path.lexists(temporary):
            os.unlink(temporary)


def _temporary(path):
    """A new file beside ``path``, locked while it is open: so its writer is known to be alive."""
    while True:
        descriptor, temporary = tempfile.mkstemp(
            prefix=f".{_short(path.name)}.", suffix=".tmp", dir=path.parent
        )
        with suppress(OSError):  # a file system without locks: nothing is swept there either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.lexists(temporary):
            return descriptor, temporary
        os.close(descriptor)  # swept in between


def _sweep_once(folder):
    """Remove what writers that were killed left in a folder, at this process's first write there.

    Files that a writer holds, in this process or another, stay.
    """
    place = os.path.realpath(folder)
    if place in _swept:
        return
    _swept.add(place)
    with suppress(OSError), os.scandir(place) as found:
        for entry in found:
            if _OURS.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                _sweep(entry.path)


def _sweep(path):
    with suppress(OSError), open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)


class _Watched:
    """A file that remembers what stopped a write.

    ``torch.save`` tells of a full disk in words of its own, without the cause; NumPy, which writes
    to a real file behind Python's back, does the same there, but not to this.
    """

    def __init__(self, file):
        self.file, self.failure = file, None

    def write(self, data):
        try:
            return self.file.write(data)
        except OSError as error:
            self.failure = error
            raise

    def __getattr__(self, name):
        return getattr(self.file, name)


def _short(name: str) -> str:
    """As much of a file's name as leaves room for more of one that the file system takes."""
    return os.fsdecode(os.fsencode(name)[:_ROOM])


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def lies_at(file, path: str | os.PathLike) -> bool:
    """Whether an open file still lies at ``path``: another process may have moved it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def replace_link(target: str, link: str | os.PathLike) -> None:
    """Make ``link`` a symbolic link to ``target`` (text as given), replacing what is there."""
    link = Path(link)
    link.parent.mkdir(parents=True, exist_ok=True)
    temporary = link.parent / f".{_short(link.name)}.{os.getpid()}.link"
    if os.path.lexists(temporary):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, link)


def files_below(
    folder: str | os.PathLike, hidden: bool, recursive: bool = True, above: tuple[str, ...] = ()
) -> Iterator[os.DirEntry]:
    """Yield what lies in a folder and is not a folder itself, in the order of names.

    Links to folders are followed, save those that lead back to a folder above them. A folder that
    is missing or may not be read holds nothing.

    Args:
        hidden: give files and enter folders whose name begins with a dot, too.
        recursive: go on in the sub-folders.
        above: real paths of the folders on the way here.
    """
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:
        return
    above = (*above, os.path.realpath(folder))
    for entry in entries:
        if entry.name.startswith(".") and not hidden:
            continue
        if not _is_folder(entry):
            yield entry
        elif recursive and os.path.realpath(entry.path) not in above:
            yield from files_below(entry.path, hidden, recursive, above)


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False
