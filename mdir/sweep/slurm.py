"""Cells as jobs of a Slurm cluster, through submitit."""

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import mdir
from cirtorch.utils.locks import why_not_shared
from mdir.errors import UserError
from mdir.records import read_record, write_record
from mdir.sweep.cell_job import CellJob
from mdir.sweep.cells import Cell
from mdir.sweep.cluster import (
    Job,
    cancel,
    most_in_array,
    queue,
    require_partition,
    require_slurm,
)
from mdir.sweep.local import threads
from mdir.sweep.resources import Resources
from mdir.sweep.runner import State

FOLDER, PLACES = "slurm", "jobs.json"
MOST_TIMEOUTS = 100
WARNING_S = 90  # at the most from a cluster's warning to the end of a job's time
LOOK_S, ASK_S = 1, 5
LATE_S = 10  # at the most from the end of a job to its result, as another machine sees it
STOPPING_S = 60


@dataclass
class _Submitted:
    """A cell that has a job: the ``number``-th of the array that is called ``batch``."""

    cell: Cell
    batch: str
    number: int
    identifier: str | None = None
    state: State = "waiting"
    gone_at: float | None = None

    @property
    def is_open(self):
        return self.state in ("waiting", "running")

    @property
    def place(self):
        return self.batch, self.number

    def record(self):
        return {"batch": self.batch, "number": self.number, "command": self.cell.command}


class SlurmRunner:
    """Cells as an array of jobs.

    Jobs outlive the sweep's process; a later one takes them over. How they end stands in submitit's
    files, which lie below ``slurm`` in the folder of the sweep, and whether they still wait or run
    in the cluster's queue.

    Args:
        jobs: cells at a time; None: as many as the cluster allows.
    """

    def __init__(self, jobs: int | None = None):
        self.jobs = jobs
        self.folder = Path()
        self.resources = Resources()
        self._cells: dict[str, _Submitted] = {}
        self._looked = self._asked = float("-inf")
        self._queue: dict[tuple[str, int], Job] | None = None  # None: nobody has asked since

    def start(self, cells: Sequence[Cell], resources: Resources, folder: Path) -> None:
        if not cells:
            return
        self.folder, self.resources = folder.absolute() / FOLDER, resources
        require_slurm()
        _require_time(resources)
        _require_folder(self.folder)
        require_partition(resources.partition)
        try:
            self._submit(self._take_over(cells))
        except BaseException:
            self.stop()
            raise

    def states(self) -> dict[str, State]:
        now = time.monotonic()
        is_open = any(each.is_open for each in self._cells.values())
        if is_open and now - self._looked >= LOOK_S:
            if now - self._asked >= ASK_S:
                with suppress(UserError):  # it is busy: what it said last holds on
                    self._queue = queue()
                self._asked = time.monotonic()
            self._look(now)
            self._looked = now
        return {name: each.state for name, each in self._cells.items()}

    def stop(self) -> None:
        left = self._left()
        if left:
            print(f"cancels {len(left)} jobs", flush=True)
            with suppress(UserError):  # one has just ended by itself: those that stay are told
                cancel([job.identifier for job in left.values()])
        until = time.monotonic() + STOPPING_S
        while left and time.monotonic() < until:
            time.sleep(LOOK_S)
            left = self._left()
        if left:
            numbers = " ".join(job.identifier for job in left.values())
            print(f"these jobs do not end, scancel may help: {numbers}", file=sys.stderr)
        ended = [name for name, each in self._cells.items() if each.is_open and name not in left]
        self._record(dict.fromkeys(ended))

    def _left(self):
        """The jobs of cells that are not over and that nothing ends so far."""
        places = {each.place: name for name, each in self._cells.items() if each.is_open}
        jobs = queue() if places else {}
        return {
            places[place]: job for place, job in jobs.items() if place in places and not job.ends
        }

    def _take_over(self, cells):
        """The cells without a job; jobs with another command than now are cancelled."""
        known, jobs = read_places(self.folder), queue()
        new, outdated = [], []
        for cell in cells:
            place = known.get(cell.name)
            job = jobs.get((place["batch"], place["number"])) if place else None
            if job is None or job.has_ended:
                new.append(cell)
            elif place["command"] != cell.command:
                outdated.append(job.identifier)
                new.append(cell)
            else:
                ours = _Submitted(cell, place["batch"], place["number"], job.identifier)
                self._cells[cell.name] = ours
        if self._cells:
            print(f"{len(self._cells)} cells have jobs already, which go on", flush=True)
        if outdated:
            print(f"cancels {len(outdated)} jobs with other settings", flush=True)
            cancel(outdated)
        return new

    def _submit(self, cells):
        size = most_in_array() if cells else 1
        parts = [cells[at : at + size] for at in range(0, len(cells), size)]
        name = re.sub(r"[^A-Za-z0-9]+", "-", self.folder.parent.name)
        for part in parts:
            most = len(part) if self.jobs is None else max(1, self.jobs // len(parts))
            batch = f"{name}-{uuid.uuid4().hex[:8]}"
            ours = [_Submitted(cell, batch, number) for number, cell in enumerate(part)]
            self._cells |= {each.cell.name: each for each in ours}
            # Before there are jobs: a sweep that follows one that was killed finds them by name.
            self._record({each.cell.name: each.record() for each in ours})
            jobs = submit(part, self.folder / batch, parameters(self.resources, batch, most))
            for each, job in zip(ours, jobs, strict=True):
                each.identifier = job.job_id
        if cells:
            print(f"submitted {len(cells)} jobs to the cluster", flush=True)

    def _record(self, changes):
        known = read_places(self.folder) | changes
        known = {name: place for name, place in known.items() if place is not None}
        if known or changes:
            write_record(self.folder / PLACES, known)

    def _look(self, now):
        files = {each.batch: set[str]() for each in self._cells.values() if each.is_open}
        for batch in files:
            files[batch] = _listed(self.folder / batch)
        for each in self._cells.values():
            if not each.is_open:
                continue
            if f"{each.identifier}_0_result.pkl" in files[each.batch]:
                each.state = self._ended(each)
            elif self._queue is not None:
                self._judge(each, self._queue.get(each.place), now)

    def _judge(self, each, job, now):
        """The state of a job without a result."""
        if job is not None and not job.has_ended:
            if job.is_hopeless:
                raise UserError(
                    f"the cluster never starts job {job.identifier} ({job.reason}): resources of "
                    "the sweep file ask for more than the partition has"
                )
            each.state, each.gone_at = "waiting" if job.is_waiting else "running", None
            return
        each.gone_at = now if each.gone_at is None else each.gone_at
        if now - each.gone_at >= LATE_S:
            state = "" if job is None else f" ({job.state})"
            self._say(each, f"the cluster ended job {each.identifier}{state}")
            each.state = "failed"

    def _ended(self, each):
        from submitit import SlurmJob

        job = SlurmJob(self.folder / each.batch, each.identifier)
        error = job.exception()
        if error is None:
            return "failed" if job.result() else "done"
        self._say(each, f"job {each.identifier} gave up: {_last_words(error)}")
        return "failed"

    def _say(self, each, message):
        """Add to a cell's log what it cannot tell itself."""
        output = self.folder / each.batch / f"{each.identifier}_0_log.out"
        with open(each.cell.log, "a", encoding="utf-8") as log:
            log.write(f"-- {message}; the job's own output: {output} --\n")


def cluster_states(cells: Sequence[Cell], folder: Path) -> dict[str, State]:
    """How far the cells are that have a job, whoever submitted it; none where Slurm is absent."""
    places = read_places(folder / FOLDER)
    if not places or shutil.which("squeue") is None:
        return {}
    jobs, found = queue(), {}
    for cell in cells:
        place = places.get(cell.name)
        job = jobs.get((place["batch"], place["number"])) if place else None
        if job is not None and not job.has_ended:
            found[cell.name] = "waiting" if job.is_waiting else "running"
    return found


def read_places(folder: Path) -> dict[str, dict]:
    """Name of a cell -> ``batch``, ``number`` and ``command`` of the job that was meant for it."""
    return read_record(folder / PLACES, _is_place, "remove it; jobs that run are not known then")


def _is_place(value):
    kinds = {"batch": str, "number": int, "command": list}
    return isinstance(value, dict) and all(
        isinstance(value.get(key), kind) for key, kind in kinds.items()
    )


def parameters(resources: Resources, name: str, most: int) -> dict:
    """What submitit asks the cluster for.

    Args:
        name: of the jobs. most: jobs of the array that run at a time.
    """
    code = shlex.quote(str(Path(mdir.__file__).parents[1]))
    setup = [f"export PYTHONPATH={code}${{PYTHONPATH:+:$PYTHONPATH}}"]
    setup += [f"export {key}={value}" for key, value in threads(1, resources.cpus).items()]
    asked = {
        "job_name": name,
        "time": resources.time,
        "signal_delay_s": min(WARNING_S, 30 * resources.time),
        "mem": resources.memory,
        "cpus_per_task": resources.cpus,
        "srun_args": resources.cpus and [f"--cpus-per-task={resources.cpus}"],
        "gpus_per_node": resources.gpus or None,
        "partition": resources.partition,
        "setup": [*setup, *resources.setup],
        "array_parallelism": most,
        "stderr_to_stdout": True,
        "additional_parameters": {"requeue": True},
    }
    return {key: value for key, value in asked.items() if value is not None}


def submit(cells: Sequence[Cell], folder: Path, asked: dict) -> list:
    """Submit cells as one array; submitit's jobs.

    Raises:
        UserError: the cluster refuses them.
    """
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor = SlurmExecutor(folder, max_num_timeout=MOST_TIMEOUTS)
    executor.update_parameters(**asked)
    jobs = [CellJob(cell.command, cell.log.absolute()) for cell in cells]
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # submitit prints what it raises
            return executor.submit_array(jobs)
    except (FailedJobError, FailedSubmissionError) as error:
        message = " ".join(str(error).split())
        raise UserError(
            f"the cluster refused the jobs: {message}. What they ask for are the resources of the "
            "sweep file"
        ) from None


def _require_time(resources):
    if not resources.time:
        raise UserError(
            "--on slurm needs resources.time in the sweep file, the most that one job may take "
            "(12h); a cell that is not done by then is queued again and goes on"
        )


def _require_folder(folder):
    if "%" in str(folder):
        raise UserError(
            f"{folder}: Slurm takes a % in a path for its own; give scenario, target and sweep "
            "file names of letters, digits and _.+-"
        )
    if why := why_not_shared(folder):
        raise UserError(
            f"{folder}: {why}; cells on several machines would write the same files at once. "
            "Set CIRTORCH_ROOT to a file system with locks"
        )


def _listed(folder):
    with suppress(OSError):
        folder.chmod(folder.stat().st_mode)  # NFS looks again at what others wrote
        return set(os.listdir(folder))
    return set()


def _last_words(error):
    lines = [line for line in str(error).splitlines() if "Error" in line]
    return lines[-1] if lines else type(error).__name__
