"""A Slurm cluster in a temporary folder: its own munged, slurmctld and slurmd, on this machine."""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
SYSTEM = ("/usr/sbin", "/usr/local/sbin")
# Slurm's own limits are far off: a busy machine takes long for everything.
CONFIGURATION = """\
ClusterName=box
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={box}/munge.sock,cred_expire=60
CredType=cred/munge
StateSaveLocation={box}/state
SlurmdSpoolDir={box}/spool
SlurmctldPidFile={box}/slurmctld.pid
SlurmdPidFile={box}/slurmd.pid
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
KillWait=60
MessageTimeout=100
TCPTimeout=60
BatchStartTimeout=3600
UnkillableStepTimeout=3600
SlurmdTimeout=0
MinJobAge=86400
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=60 State=UP
"""


@contextmanager
def slurm_box():
    """Environment variables for the programs of a cluster with two processors, partition main."""
    path = os.pathsep.join([os.environ["PATH"], *SYSTEM])
    absent = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if absent:
        pytest.skip(f"no Slurm here ({', '.join(absent)} absent): apt-get install slurm-wlm munge")
    with ExitStack() as stack:
        box = Path(tempfile.mkdtemp(prefix="slurm-"))  # a short path: sockets allow 107 bytes
        stack.callback(shutil.rmtree, box, ignore_errors=True)
        box.chmod(0o711)  # munged wants its socket in reach of everybody
        for name in ("state", "spool"):
            (box / name).mkdir()
        key = box / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        host = socket.gethostname().partition(".")[0]
        names = {"box": box, "host": host, "user": getpass.getuser(), "ports": _free_ports(2)}
        (box / "slurm.conf").write_text(CONFIGURATION.format(**names))
        environ = {"PATH": path, "SLURM_CONF": str(box / "slurm.conf")}
        files = {"key-file": key, "socket": box / "munge.sock", "pid-file": box / "munge.pid"}
        files |= {"seed-file": box / "munge.seed", "log-file": box / "munge.log"}
        munged = ["munged", "--foreground", *(f"--{name}={file}" for name, file in files.items())]
        daemons = [stack.enter_context(_daemon(munged, environ, box))]
        _answers(files["socket"].exists, box, daemons)
        daemons.append(stack.enter_context(_daemon(["slurmctld", "-D"], environ, box)))
        daemons.append(stack.enter_context(_daemon(["slurmd", "-D"], environ, box)))
        _answers(lambda: "idle" in ask(environ, "sinfo", "--format=%T"), box, daemons)
        stack.callback(_end_jobs, environ, daemons)
        yield environ


def ask(environ, *command) -> str:
    """What a program of the cluster prints."""
    given = {**os.environ, **environ}
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False).stdout


def wait_until(condition, *processes):
    """Wait as long as it takes; RuntimeError where one of the processes ends before."""
    while not condition():
        for process in processes:
            if process.poll() is not None:
                told = process.stdout.read() if process.stdout else ""
                raise RuntimeError(f"{process.args} has ended ({process.returncode}) {told}")
        time.sleep(0.1)


def _answers(condition, box, daemons):
    try:
        wait_until(condition, *daemons)
    except RuntimeError as error:
        logs = [path.read_text() for path in sorted(box.glob("*.log"))]
        raise RuntimeError("\n".join([str(error), *logs])) from None


def _end_jobs(environ, daemons):
    ask(environ, "scancel", "--user", getpass.getuser())
    with suppress(RuntimeError):
        wait_until(lambda: not ask(environ, "squeue", "--noheader").strip(), *daemons)


@contextmanager
def _daemon(command, environ, box):
    with open(box / f"{command[0]}.log", "ab") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **environ}, stdout=log, stderr=log, cwd=box
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_ports(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
