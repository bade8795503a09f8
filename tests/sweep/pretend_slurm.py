"""Slurm's programs as far as a sweep calls them: jobs are processes of this machine.

They keep their records in the folder ``PRETEND_SLURM``: a file ``ID.json`` for each job, ``calls``
with the command lines, ``refuse`` with words on which ``sbatch`` fails, ``queue`` with what
``squeue`` prints instead. Where a file ``hold`` is there, jobs do nothing, for long.
"""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

NAMES = ("sbatch", "srun", "squeue", "scancel", "sinfo", "scontrol")


def install(folder: Path) -> Path:
    """Put the programs into a folder, which is to be the first of the path."""
    folder.mkdir()
    for name in NAMES:
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -S {__file__} {name} "$@"\n')
        program.chmod(0o755)
    return folder


def jobs(box):
    found = [json.loads(path.read_text()) for path in sorted(box.glob("*.json"))]
    return [job | {"alive": _is_alive(job["pid"])} for job in found]


def end(box):
    for job in jobs(box):
        with suppress(ProcessLookupError):
            os.killpg(job["pid"], signal.SIGKILL)


def sbatch(box, arguments):
    if (box / "refuse").exists():
        sys.exit((box / "refuse").read_text())
    script = Path(arguments[0])
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", script.read_text(), re.MULTILINE))
    number = 1 + len({job["id"].partition("_")[0] for job in jobs(box)})
    last = re.match(r"0-(\d+)", options.get("array", ""))
    for index in range(int(last[1]) + 1) if last else [None]:
        identifier = str(number) if index is None else f"{number}_{index}"
        environ = {**os.environ, "SLURM_JOB_ID": str(number)}
        if index is not None:
            environ |= {"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(index)}
        output = options["output"].strip("'").replace("%A_%a", identifier)
        with open(output.replace("%j", identifier), "ab") as log:
            process = subprocess.Popen(
                ["bash", script], env=environ, stdout=log, stderr=log, start_new_session=True
            )
        job = {"id": identifier, "index": index, "pid": process.pid, "name": options["job-name"]}
        (box / f"{identifier}.json").write_text(json.dumps(job))
    print(f"Submitted batch job {number}")


def srun(box, arguments):
    command = arguments[arguments.index(sys.executable) :]
    if (box / "hold").exists():
        os.execvp("sleep", ["sleep", "600"])
    os.execv(command[0], command)


def squeue(box, arguments):
    if (box / "queue").exists():
        print((box / "queue").read_text())
        return
    for job in jobs(box):
        index = "N/A" if job["index"] is None else job["index"]
        state = "RUNNING" if job["alive"] else "COMPLETED"
        print(job["id"], index, state, "None", job["name"], sep="|")


def scancel(box, arguments):
    for job in jobs(box):
        if job["id"] in arguments and job["alive"]:
            os.killpg(job["pid"], signal.SIGKILL)


def sinfo(box, arguments):
    print("main\ngpu")


def scontrol(box, arguments):
    print("MaxArraySize            = 3")


def _is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


if __name__ == "__main__":
    box = Path(os.environ["PRETEND_SLURM"])
    with open(box / "calls", "a") as calls:
        print(*sys.argv[1:], file=calls)
    globals()[sys.argv[1]](box, sys.argv[2:])
