"""A Slurm cluster as its programs tell of it; nothing here needs its accounting."""

import getpass
import re
import shutil
import subprocess
from typing import NamedTuple

from cirtorch.utils.errors import suggest
from mdir.errors import UserError

PROGRAMS = ("sbatch", "srun", "squeue", "scancel", "sinfo", "scontrol")
ANSWER_S = 60
WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"}
ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"}
ENDED |= {"OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"}
HOPELESS = {"BadConstraints", "PartitionConfig", "PartitionNodeLimit", "PartitionTimeLimit"}
USUAL_MOST_IN_ARRAY = 1001


class Job(NamedTuple):
    """One job, of an array or alone; ``reason`` tells why it waits."""

    identifier: str
    state: str
    reason: str

    @property
    def is_waiting(self) -> bool:
        return self.state in WAITING

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def ends(self) -> bool:
        """Whether it has ended, or is about to, perhaps to begin again."""
        return self.has_ended or self.state == "COMPLETING"

    @property
    def is_hopeless(self) -> bool:
        """Whether no waiting lets it begin."""
        return self.state == "PENDING" and self.reason in HOPELESS


def require_slurm() -> None:
    """Raises UserError where Slurm's programs or submitit are absent."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        raise UserError(
            f"--on slurm needs Slurm, whose programs are not on the path: {', '.join(absent)}. "
            "Start the sweep where jobs are submitted, on a login node; --on local needs nothing"
        )
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise UserError(
            "--on slurm needs the package submitit (extra 'slurm' of this project): "
            "python3 -m pip install submitit"
        ) from None


def require_partition(name: str | None) -> None:
    """Raises UserError where the cluster has no such partition, or does not answer."""
    lines = call("sinfo", "--noheader", "--all", "--format=%R").split()
    known = sorted({line.strip() for line in lines})
    if name is not None and (absent := [each for each in name.split(",") if each not in known]):
        raise UserError(
            f"resources.partition: this cluster has no partition {absent[0]!r}."
            f"{suggest(absent[0], known)} Partitions: {', '.join(known)}"
        )


def most_in_array() -> int:
    """How many jobs an array may have."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", call("scontrol", "show", "config"))
    return max(1, int(found[1]) if found else USUAL_MOST_IN_ARRAY)


def queue() -> dict[tuple[str, int], Job]:
    """This user's jobs by name and number in their array (0: alone).

    Those that have ended are among them for some minutes.
    """
    options = ["--noheader", "--array", "--states=all", f"--user={getpass.getuser()}"]
    lines = call("squeue", *options, "--format=%i|%K|%T|%r|%j").splitlines()
    rows = [line.strip().split("|", 4) for line in lines if line.count("|") >= 4]
    return {
        (name, int(number) if number.isdigit() else 0): Job(identifier, state, reason)
        for identifier, number, state, reason, name in rows
    }


def cancel(identifiers: list[str]) -> None:
    """End jobs; those that have ended already are none of its business."""
    call("scancel", "--quiet", *identifiers)


def call(*command: str) -> str:
    """What a program prints.

    Raises:
        UserError: it fails, or the cluster does not answer.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"the Slurm cluster does not answer ({command[0]})") from None
    if done.returncode:
        raise UserError(f"Slurm: {command[0]} failed: {' '.join(done.stderr.split())}")
    return done.stdout
