"""One plan performed by several processes (torchrun): the first decides, the others follow.

Steps that are ``divided`` (:class:`mdir.stages.StepEntry`) run in all of them and share their work
through ``torch.distributed``; every other step runs in the first alone. Decisions and results pass
through small files beside the journal, so a process whose step failed leaves nobody waiting in a
collective: the launcher ends the rest.
"""

import json
import os
import shutil
import time

from cirtorch.utils.files import atomic_write
from mdir.errors import UserError


class Processes:
    """This process among those of one launch; a single process waits for nobody."""

    def __init__(self):
        self.rank = int(os.environ.get("RANK", 0))
        self.count = int(os.environ.get("WORLD_SIZE", 1))
        self.folder = ""

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
        while not os.path.exists(path):
            if os.path.exists(self._failure):
                raise UserError("another process of this launch failed")
            time.sleep(0.05)
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

    @property
    def _failure(self):
        return os.path.join(self.folder, "failed")


def _launch():
    """A name that only the processes of one launch share."""
    environ = os.environ
    parts = [environ.get(f"TORCHELASTIC_{key}", "0") for key in ("RUN_ID", "RESTART_COUNT")]
    parts.append(environ.get("MASTER_PORT", "0"))
    if environ.get("LOCAL_WORLD_SIZE") == environ.get("WORLD_SIZE"):
        parts.append(str(os.getppid()))
    return "-".join(parts).replace(os.sep, "_")
