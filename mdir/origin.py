"""The code and the machine that a result comes from; imports nothing heavy."""

import functools
import os
import platform
import subprocess
from pathlib import Path

GIB = 2**30


@functools.cache
def git_head() -> dict | None:
    """``commit`` and ``head_ref`` of this code; None where it is no checkout or git fails."""
    if not (_root() / ".git").exists():
        return None
    questions = {"commit": ["HEAD"], "head_ref": ["--abbrev-ref", "HEAD"]}
    answers = {key: _git("rev-parse", *question) for key, question in questions.items()}
    if None in answers.values():
        return None
    return {key: answer or None for key, answer in answers.items()}


@functools.cache
def commit() -> str | None:
    """The commit of this code, with a word of changes that no commit has; None: not known."""
    head = (git_head() or {}).get("commit")
    if head is None:
        return None
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return f"{head}, with uncommitted changes" if changed else head


@functools.cache
def machine() -> str:
    """System, processor with the cores that we may use, memory and NVIDIA's GPUs, in a line.

    How many threads share a sum can change its last bits, so their number, if set, is told.
    """
    cores = f"{usable_cores()} of {os.cpu_count()} cores"
    if threads := os.environ.get("OMP_NUM_THREADS"):
        cores += f", OMP_NUM_THREADS {threads}"
    parts = [f"{platform.system()} {platform.machine()}", f"{processor()}, {cores}"]
    parts.append(f"{memory() / GIB:.0f} GiB")
    cards = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    parts += [name for card in cards if (name := _field(card, "Model"))]
    return "; ".join(parts)


def usable_cores() -> int:
    """How many cores this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def memory() -> int:
    """Bytes of memory that the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def processor() -> str:
    """The processor's name, as the system tells it."""
    name = _field(Path("/proc/cpuinfo"), "model name")
    return name or platform.processor() or "a processor of unknown name"


def _field(path, name):
    """The first value under a name in one of the system's ``name : value`` files."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    found = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in found if key.strip() == name), None)


def _root():
    return Path(__file__).resolve().parents[1]


def _git(*words):
    try:
        command = ["git", "-C", str(_root()), *words]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip()
