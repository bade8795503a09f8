"""Files that are held by one process at a time, however that ends.

Record locks of POSIX hold between machines where their file system passes them on: NFS 4, NFS 3
with its lock service, Lustre mounted with ``flock``, GPFS. :func:`why_not_shared` looks for file
systems that do not.
"""

import errno
import fcntl
import os
import re
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from cirtorch.utils.files import lies_at

LOOK_S = 0.05
MOUNTS = "/proc/self/mounts"
LOCAL_LOCKS = {"nolock", "localflock", "local_lock=all", "local_lock=posix"}


@contextmanager
def held(path: str | os.PathLike, taken: Callable[[str], None]):
    """Hold a lock file for the time of the block; it is removed afterwards.

    The file tells who holds it. The lock is this process's alone (record lock of POSIX): forked
    workers do not inherit it, and it is gone when the process is. Where the file system knows no
    locks, nothing is held.

    Args:
        taken: called with a word on the holder where another process holds it: it raises, or it
            returns and the lock is waited for.
    """
    file = _opened(Path(path), taken)
    try:
        file.truncate(0)
        holder = f"process {os.getpid()} on {socket.gethostname()} since {moment_now()}\n"
        with suppress(OSError):  # a full disk is told by who needs it
            os.write(file.fileno(), holder.encode())
        yield
    finally:
        with suppress(OSError):
            os.unlink(file.name)  # before the lock is given up: later it may be another's
        file.close()


def holder_of(path: str | os.PathLike) -> str | None:
    """Who holds a lock file, as it tells itself; None: nobody does."""
    try:
        with open(path, "r+", encoding="utf-8") as file:
            return None if _is_lockable(file) else file.read().strip()
    except OSError:
        return None


def moment_now() -> str:
    """The time as a lock file tells it; later ones sort behind earlier ones."""
    return datetime.now().isoformat(sep=" ", timespec="milliseconds")


def moment_in(holder: str) -> str:
    """Since when a holder, as :func:`holder_of` tells it, has its lock."""
    return holder.rpartition(" since ")[2]


def process_here(holder: str | None) -> int | None:
    """The process id of a holder; None of nobody, or of a process of another machine."""
    match = re.match(r"process (\d+) on (\S+) since ", holder or "")
    return int(match[1]) if match and match[2] == socket.gethostname() else None


def _opened(path, taken):
    """The lock file, locked and in its place: who had it may just have removed it."""
    is_told = False
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = open(path, "a+", encoding="utf-8")  # noqa: SIM115
        except FileNotFoundError:  # the folder has been removed with it
            continue
        try:
            links = os.fstat(file.fileno()).st_nlink
            if _is_held(file):
                file.seek(0)
                if not is_told:
                    taken(file.read().strip())
                is_told = True
                with suppress(OSError):
                    fcntl.lockf(file, fcntl.LOCK_EX)
            if _is_in_place(file, path, links):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _is_in_place(file, path, links):
    """Whether nobody has removed a file since it had so many links.

    NFS may know a name for a while after another machine removed it; of an open, locked file it
    knows better.
    """
    try:
        return lies_at(file, path) and os.fstat(file.fileno()).st_nlink >= links
    except OSError as error:
        if error.errno == errno.ESTALE:
            return False
        raise


def _is_held(file):
    """Whether another process has a lock, for longer than the instant of a look at it."""
    if _is_lockable(file):
        return False
    time.sleep(LOOK_S)
    return not _is_lockable(file)


def _is_lockable(file):
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        pass
    return True


def why_not_shared(folder: str | os.PathLike) -> str | None:
    """Why a lock in a folder would not hold off other machines; None: nothing speaks against it.

    Only what can be seen from here is known: a file system without locks, and mounts whose locks
    stay on this machine (NFS, Lustre).
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=place) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return f"this file system knows no locks ({error.strerror})"
    point, options = _mount(os.path.realpath(place))
    local = sorted(LOCAL_LOCKS & set(options))
    return f"the locks of {point} stay on this machine ({local[0]})" if local else None


def _mount(path):
    """Mount point and options of the file system of a path, as far as the system tells."""
    best = ("", [])
    with suppress(OSError), open(MOUNTS, encoding="utf-8") as file:
        for line in file:
            _, point, _, options, *_ = line.split(" ")
            point = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), point)
            if os.path.commonpath([path, point]) == point and len(point) >= len(best[0]):
                best = point, options.split(",")
    return best
