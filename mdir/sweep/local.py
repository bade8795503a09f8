"""Cells as processes of this machine."""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from cirtorch.utils.locks import process_here
from mdir.errors import UserError
from mdir.origin import usable_cores
from mdir.sweep.cells import Cell
from mdir.sweep.journals import CellJournal
from mdir.sweep.resources import Resources
from mdir.sweep.runner import State

ENDING_S = 30  # at the most from the request to end to the end by force
LOOK_S = 0.1
CARDS = "/proc/driver/nvidia/gpus"


class LocalRunner:
    """So many cells at a time, each in a process group of its own.

    Processors are divided among them (``OMP_NUM_THREADS``, unless it is set), graphics cards are
    dealt out (``CUDA_VISIBLE_DEVICES``).

    Args:
        jobs: cells at a time; None: one for each share of graphics cards, one without any.
    """

    def __init__(self, jobs: int | None = None):
        self.jobs = jobs
        self._queue: deque[Cell] = deque()
        self._slots: list[tuple[Cell, subprocess.Popen] | None] = []
        self._states: dict[str, State] = {}
        self._environments: list[dict[str, str]] = []

    def start(self, cells: Sequence[Cell], resources: Resources, folder: Path) -> None:
        """Take over cells; the first ones begin with the first look at :meth:`states`."""
        shares = deal(cards(), resources.gpus, self.jobs)
        self._environments = [
            threads(len(shares), resources.cpus)
            | ({} if share is None else {"CUDA_VISIBLE_DEVICES": ",".join(share)})
            for share in shares
        ]
        self._slots = [None] * len(shares)
        self._queue.extend(cells)
        self._states = dict.fromkeys((cell.name for cell in cells), "waiting")

    def states(self) -> dict[str, State]:
        for number, running in enumerate(self._slots):
            if running is not None:
                cell, process = running
                if process.poll() is None:
                    continue
                self._states[cell.name] = "failed" if process.returncode else "done"
                self._slots[number] = None
            if self._queue:
                cell = self._queue.popleft()
                with _signals_wait():  # else nobody would know the process
                    self._slots[number] = cell, self._begin(cell, self._environments[number])
                self._states[cell.name] = "running"
        return dict(self._states)

    def stop(self) -> None:
        self._queue.clear()
        processes = [running[1] for running in self._slots if running is not None]
        for process in processes:
            _tell(process.pid, signal.SIGTERM)
        until = time.monotonic() + ENDING_S
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0, until - time.monotonic()))
            _tell(process.pid, signal.SIGKILL)  # what is left of its group
            process.wait()

    def _begin(self, cell, environment):
        cell.log.parent.mkdir(parents=True, exist_ok=True)
        with open(cell.log, "ab") as log:
            return subprocess.Popen(
                cell.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
                start_new_session=True,
            )


def cards() -> list[str]:
    """The graphics cards for cells: those of ``CUDA_VISIBLE_DEVICES``, or all there are."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [each.strip() for each in visible.split(",") if each.strip()]
    with suppress(OSError):
        return [str(number) for number in range(len(os.listdir(CARDS)))]
    return []


def deal(cards: Sequence[str], each: int | None, jobs: int | None) -> list[tuple[str, ...] | None]:
    """The cards of every cell that runs at the same time; None: there are none to deal out.

    With more jobs than the cards suffice for, some share them.

    Args:
        each: how many a cell gets; by default one where there are any.
        jobs: cells at a time; by default as many as the cards suffice for.

    Raises:
        UserError: there are fewer than one cell is to get.
    """
    if (each or 0) > len(cards):
        raise UserError(
            f"a cell of the sweep is to get {each} graphics cards (resources.gpus), but there are "
            f"{len(cards)} here"
        )
    if not cards:
        return [None] * (jobs or 1)
    if each == 0:
        return [()] * (jobs or 1)
    each = each or 1
    jobs = jobs or len(cards) // each
    return [
        tuple(cards[(job * each + number) % len(cards)] for number in range(each))
        for job in range(jobs)
    ]


def threads(jobs: int, cpus: int | None) -> dict[str, str]:
    """How many threads a cell computes with: its processors, or its share of all."""
    if "OMP_NUM_THREADS" in os.environ or (jobs == 1 and cpus is None):
        return {}
    return {"OMP_NUM_THREADS": str(cpus or max(1, usable_cores() // jobs))}


@contextmanager
def _signals_wait():
    """What asks this process to end is heard after the block."""
    heard = []
    asking = [
        n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN
    ]
    before = {n: signal.signal(n, lambda number, frame: heard.append(number)) for n in asking}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in heard[:1]:
            os.kill(os.getpid(), number)


def end_left(journals: Mapping[str, CellJournal]) -> None:
    """End the cells that a sweep which is gone began on this machine, so in groups of their own."""
    groups = {name: group for name, each in journals.items() if (group := _left_group(name, each))}
    for number in (signal.SIGTERM, signal.SIGKILL):
        for name, group in groups.items():
            if journals[name].is_running():
                _tell(group, number)
        until = time.monotonic() + ENDING_S
        while any(journals[name].is_running() for name in groups) and time.monotonic() < until:
            time.sleep(LOOK_S)


def _left_group(name, journal):
    """The group of the process of a cell; None where none runs, or not by a sweep that is gone."""
    pid = process_here(journal.holder())
    if pid is None:
        return None
    with suppress(OSError):
        parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        is_cell = f"\0--cell\0{name}\0" in Path(f"/proc/{pid}/cmdline").read_text()
        has_sweep = "\0sweep\0" in Path(f"/proc/{parent}/cmdline").read_text()
        if is_cell and not has_sweep and os.getsid(pid) == pid:
            return pid
    return None


def _tell(group, number):
    with suppress(ProcessLookupError):
        os.killpg(group, number)
