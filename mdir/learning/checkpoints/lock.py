"""One run at a time in a folder of checkpoints."""

import fcntl
import os
import socket
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from cirtorch.utils.files import lies_at
from mdir.errors import UserError

NAME = ".lock"


@contextmanager
def claimed(folder: str | os.PathLike):
    """Hold a folder against other runs for the time of the block.

    The file ``.lock`` tells who does. The lock is this process's alone (record lock of POSIX):
    forked workers do not inherit it, and it is gone when the process is, however that ends.
    Where the file system knows no locks, nothing is held.

    Raises:
        UserError: another run holds it.
    """
    file = _opened(Path(folder))
    try:
        file.truncate(0)
        moment = time.strftime("%Y-%m-%d %H:%M:%S")
        holder = f"process {os.getpid()} on {socket.gethostname()} since {moment}\n"
        with suppress(OSError):  # a full disk is told by who needs it
            os.write(file.fileno(), holder.encode())
        yield
    finally:
        with suppress(OSError):
            os.unlink(file.name)  # before the lock is given up: later it may be another run's
        with suppress(OSError):
            os.rmdir(folder)  # stays where a run left anything
        file.close()


def _opened(folder):
    """The lock file, locked and in its place: who had it may just have removed it."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file = open(folder / NAME, "a+", encoding="utf-8")  # noqa: SIM115
        except FileNotFoundError:  # the folder has been removed with it
            continue
        if not _is_lockable(file):
            file.seek(0)
            holder = file.read().strip()
            file.close()
            raise UserError(
                f"{folder}: another run {f'({holder}) ' if holder else ''}trains here; "
                "wait for its end or choose another directory"
            )
        if lies_at(file, folder / NAME):
            return file
        file.close()


def _is_lockable(file):
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        pass
    return True
