"""One plan performed by several processes (torchrun): the first decides, the others follow.

Steps that are ``divided`` (:class:`mdir.stages.StepEntry`) run in all of them and share their work
through ``torch.distributed``; every other step runs in the first alone. Decisions and results pass
through small files beside the journal, so a process whose step failed leaves nobody waiting in a
collective: the launcher ends the rest.
"""

import json
import os
import shutil
import signal
import socket
import time
from contextlib import suppress

from cirtorch.utils.files import atomic_write
from mdir.errors import UserError

_TOGETHER_S = 60  # processes of one launch start within so many seconds
_ENDING_S = 3  # at the most from the end of a process's connections to its own


class Processes:
    """This process among those of one launch; a single process waits for nobody."""

    def __init__(self):
        self.rank = int(os.environ.get("RANK", 0))
        self.count = int(os.environ.get("WORLD_SIZE", 1))
        self.folder = ""
        self.started = time.time()

    @property
    def is_first(self) -> bool:
        """Whether this process decides, writes and prints."""
        return self.rank == 0

    def meet(self, folder: str) -> None:
        """Agree on where messages lie: a folder of this launch inside ``folder``."""
        if self.count == 1:
            return
        self.folder = os.path.join(folder, ".launches", _launch())
        if self.is_first:
            shutil.rmtree(os.path.dirname(self.folder), ignore_errors=True)
        else:  # the first one's file says that the folder is the one of this launch
            self._wait_for(self._place(0))
        self._tell_place([socket.gethostname(), os.getpid()])

    def leave(self) -> None:
        """Tell the others that this process has done its part.

        The first one's file goes, so that nobody takes the folder for that of a next launch; it
        waits for those who start late and still have to find it.
        """
        if not self.folder:
            return
        if not self.is_first:
            self._tell_place(None)
            return
        others = [self._place(rank) for rank in range(1, self.count)]
        while not all(map(os.path.exists, others)) and not os.path.exists(self._failure):
            if time.time() - self.started > _TOGETHER_S:
                break
            time.sleep(0.05)
        with suppress(FileNotFoundError):
            os.unlink(self._place(0))

    def tell_terminated(self) -> None:
        """Tell the others that this process was asked to end before its part was done."""
        if self.folder:
            self._tell_place("SIGTERM")

    def _tell_place(self, place):
        """Host and number of this process; text: what ended it; null: it has done its part."""
        with atomic_write(self._place(self.rank), "w", encoding="utf-8") as file:
            json.dump(place, file)

    def missed(self) -> str | None:
        """Why an exchange with another process failed, as :meth:`lost`; None: it says so itself.

        The connections of a process end a little before it does.
        """
        until = time.monotonic() + (_ENDING_S if self.folder else 0)
        while (lost := self.lost(terminated=True)) is None and time.monotonic() < until:
            if os.path.exists(self._failure):
                break
            time.sleep(0.05)
        return lost

    def lost(self, terminated: bool = False) -> str | None:
        """Which process of this machine is gone before its part was done, and how it ended.

        ``terminated``: one that was asked to end counts; a launcher asks all of them.
        """
        for rank in range(self.count if self.folder else 0):
            with suppress(OSError, ValueError), open(self._place(rank), encoding="utf-8") as file:
                if os.fstat(file.fileno()).st_mtime < self.started - _TOGETHER_S:
                    continue  # of an earlier launch
                end = _told_end(json.load(file), terminated)
                if end is not None:
                    return (
                        f"process {rank + 1} of {self.count} (rank {rank}{end}; "
                        "what is done is kept, the same command goes on"
                    )
        return None

    def broadcast(self, name: str, value=None):
        """The first process's value, in every process; others wait for it.

        Args:
            name: of the message, different for every call of a launch.
            value: a JSON value; ignored except in the first process.
        """
        if self.count == 1:
            return value
        path = os.path.join(self.folder, name.replace(os.sep, "%2f") + ".json")
        if self.is_first:
            with atomic_write(path, "w", encoding="utf-8") as file:
                json.dump(value, file)
            return value
        self._wait_for(path)
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    def fails(self) -> bool:
        """Tell the others that this process fails; whether it is the first of the launch to.

        Only its message says what happened: others fail because they miss it.
        """
        if not self.folder:
            return self.is_first
        os.makedirs(self.folder, exist_ok=True)
        try:
            os.close(os.open(self._failure, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def _wait_for(self, path):
        while not os.path.exists(path):
            if os.path.exists(self._failure):
                raise UserError("another process of this launch failed")
            lost = self.lost()
            if lost is not None and not os.path.exists(path):
                raise UserError(lost)
            time.sleep(0.05)

    def _place(self, rank):
        return os.path.join(self.folder, f"rank-{rank}")

    @property
    def _failure(self):
        return os.path.join(self.folder, "failed")


def _told_end(place, terminated):
    """How the process of a place ended, its number before that; None: it lives, or did its part."""
    if isinstance(place, str):
        return f") was ended by {place}" if terminated else None
    host, number = place or (None, 0)
    end = _end_of(number) if host == socket.gethostname() else None
    return None if end is None else f", pid {number}) {end}"


def _end_of(number) -> str | None:
    """How a process of this machine ended; None while it lives."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return "is gone: it was killed, perhaps for want of memory"
    except PermissionError:
        return None
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8") as file:
            state, *rest = file.read().rpartition(")")[2].split()
    except OSError:  # no such file system, or gone in between
        return None
    if state != "Z":
        return None
    ended = int(rest[-1]) & 0x7F  # of the status that its parent has not asked for yet
    if not ended:
        return None
    return f"was ended by {signal.Signals(ended).name}, perhaps for want of memory"


def _launch():
    """A name that only the processes of one launch share."""
    environ = os.environ
    parts = [environ.get(f"TORCHELASTIC_{key}", "0") for key in ("RUN_ID", "RESTART_COUNT")]
    parts.append(environ.get("MASTER_PORT", "0"))
    if environ.get("LOCAL_WORLD_SIZE") == environ.get("WORLD_SIZE"):
        parts.append(str(os.getppid()))
    return "-".join(parts).replace(os.sep, "_")
