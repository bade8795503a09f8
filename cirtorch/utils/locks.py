"""Files that are held by one process at a time, however that ends."""

import fcntl
import os
import socket
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path

from cirtorch.utils.files import lies_at


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
        moment = time.strftime("%Y-%m-%d %H:%M:%S")
        holder = f"process {os.getpid()} on {socket.gethostname()} since {moment}\n"
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
            if not _is_lockable(file):
                file.seek(0)
                if not is_told:
                    taken(file.read().strip())
                is_told = True
                with suppress(OSError):
                    fcntl.lockf(file, fcntl.LOCK_EX)
            if lies_at(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _is_lockable(file):
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        pass
    return True
