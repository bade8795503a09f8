"""What a job of a cluster does for a cell of a sweep; it starts without any large library."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

NOT_FOR_CELLS = (signal.SIGUSR1, signal.SIGUSR2)  # a cluster's word to the job, which acts on it
ENDING_S = 30  # at the most from the request to end to the end by force
LOOK_S = 0.2


class CellJob:
    """The command of a cell; a job that has to make room ends it, and begins it again later.

    Args:
        command: goes on where an earlier one ended.
        log: what it prints is appended to this file.
    """

    def __init__(self, command: Sequence[str], log: Path):
        self.command, self.log = [*command], Path(log)
        self._process: subprocess.Popen | None = None
        self._is_told = False

    def __call__(self) -> int:
        """The exit code of the command.

        A cluster that asks to end means a cancelled job, or one that gives way to others, and says
        later which: until it does, there is no result.
        """
        before = signal.signal(signal.SIGTERM, self._tell)
        try:
            return self._perform()
        finally:
            signal.signal(signal.SIGTERM, before)

    def _perform(self):
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=_ignore_signals,
            )
        while self._process.poll() is None:  # not wait(): its lock is not for signal handlers
            time.sleep(LOOK_S)
        if self._process.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM):
            time.sleep(1)  # everybody is told at once, but not heard at once
        while self._is_told and self._process.returncode:
            time.sleep(LOOK_S)
        code = self._process.returncode
        if code < 0:
            with open(self.log, "a", encoding="utf-8") as log:
                log.write(
                    f"-- ended by {signal.Signals(-code).name}, perhaps for want of memory --\n"
                )
        return code

    def checkpoint(self):
        """End the command in order; the same one, for submitit to queue again."""
        from submitit.helpers import DelayedSubmission

        self._end()
        return DelayedSubmission(CellJob(self.command, self.log))

    def _tell(self, number, frame):
        self._is_told = True
        if self._process is not None:
            self._process.terminate()

    def _end(self):
        if self._process is None:
            return
        until = time.monotonic() + ENDING_S
        self._process.terminate()
        while self._process.poll() is None and time.monotonic() < until:
            time.sleep(LOOK_S)
        with suppress(ProcessLookupError):
            if self._process.returncode is None:
                os.kill(self._process.pid, signal.SIGKILL)


def _ignore_signals():
    for each in NOT_FOR_CELLS:
        signal.signal(each, signal.SIG_IGN)
