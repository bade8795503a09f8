"""The real command in a process of its own, and a tiny package with steps and a component."""

import contextlib
import importlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

from mdir.registry import KINDS, components
from mdir.scenario import step_table
from mdir.scenario.cli import main

PROJECT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, str(PROJECT / "perform_scenario.py")]

STEPS = '''
import atexit
import os
import signal
import time
from pathlib import Path
from typing import Annotated

from mdir.artifacts import produced, used
from mdir.errors import UserError
from mdir.paths import resolve_path
from mdir.registry import Section, build
from mdir.stages.step import step


@step
def write(_inputs, *, path: str, text: str = "x", times: int = 1, seed: int = 0):
    """Write a text."""
    place = Path(resolve_path(path))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text * times)
    produced(place)
    return {"path": str(place), "size": len(text * times), "text": text}


@step
def copy(_inputs, *, source: str, path: str, note: dict | str | int | None = None):
    """Copy a file."""
    used(resolve_path(source))
    place = Path(resolve_path(path))
    place.write_text(Path(resolve_path(source)).read_text())
    produced(place)
    return {"path": str(place)}


@step
def make(_inputs, *, loss: Annotated[dict, Section("criterion")]):
    """Build a component."""
    return {"made": str(build("criterion", loss))}


def again(params, data=()):
    """Read a file and write another; tell what the journal says of earlier runs."""
    from mdir.artifacts import changed_input, made_before

    place = Path(resolve_path(params["path"]))
    used(resolve_path(params["source"]))
    told = {"made": made_before(place.parent), "changed": changed_input()}
    place.parent.mkdir(exist_ok=True)
    place.write_text(str(params))
    produced(place)
    return told


def plain(params, data=()):
    return {"params": params, "data": [list(column) for column in data]}, "dropped"


def lines(params, data=()):
    return {"lines": data[0]}


def declared(params, data=()):
    return plain(params, data)


declared.reads_stdin = "names"
declared.always_runs = True


def fail(params, data=()):
    kind = params["kind"]
    if kind == "user":
        raise UserError("the list places.txt is empty")
    if kind == "disk":
        raise OSError(28, "No space left on device", "/full/file")
    if kind == "bug":
        from mdir.artifacts import used
        used(None)
    if kind == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
    if kind == "terminate":  # twice, as who ends a whole group of processes may do
        atexit.register(os.kill, os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)
    return {}
'''
TABLE = """
from mdir.stages import StepEntry

LINES = StepEntry("tiny.steps:lines", stdin=True)
RECORD = StepEntry("tiny.steps:plain", stdin="names", always=True, reads=("source",))
TRAIN = StepEntry("tiny.steps:plain", makes=("result.folder",))
"""
COMPONENT = """
from mdir.registry import register


@register("criterion", "tiny_loss")
class TinyLoss:
    def __init__(self, *, margin: float = 0.5):
        self.margin = margin

    def __str__(self):
        return f"tiny loss with margin {self.margin}"
"""
ENTRY_POINTS = """\
[mdir.steps]
tiny.write = tiny.steps:write
tiny.copy = tiny.steps:copy
tiny.make = tiny.steps:make
tiny.plain = tiny.steps:plain
tiny.again = tiny.steps:again
tiny.lines = tiny.table:LINES
tiny.record = tiny.table:RECORD
tiny.declared = tiny.steps:declared
tiny.train = tiny.table:TRAIN
tiny.fail = tiny.steps:fail
tiny.broken = tiny.absent:step

[mdir.components]
tiny = tiny.component
"""


def install(site: Path) -> Path:
    """Put the tiny package into a folder as an installer would; returns the folder."""
    files = {
        "tiny/__init__.py": "",
        "tiny/steps.py": STEPS,
        "tiny/table.py": TABLE,
        "tiny/component.py": COMPONENT,
        "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/entry_points.txt": ENTRY_POINTS,
    }
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    return site


def start(*args, folder: Path, **options) -> subprocess.Popen:
    """The command with ``folder`` as working directory and root, the tiny package installed."""
    environ = {
        **os.environ,
        "CIRTORCH_ROOT": str(folder / "root"),
        "PYTHONPATH": str(install(folder / "site")),
        **options.pop("environ", {}),
    }
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [*options.pop("python", COMMAND[:1]), COMMAND[1], *args]
    # A shell that starts the tests in the background has interrupts ignored in all its children.
    pipes["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, cwd=folder, env=environ, text=True, **{**pipes, **options})


def run(*args, folder: Path, lines: str | None = None, **options):
    """Start the command and wait; the result has ``returncode``, ``stdout``, ``stderr``."""
    if lines is not None:
        options["stdin"] = subprocess.PIPE
    process = start(*args, folder=folder, **options)
    out, err = process.communicate(lines)
    return subprocess.CompletedProcess(args, process.returncode, out, err)


@contextlib.contextmanager
def found_here(site: Path, package: str = "tiny"):
    """What is installed in a folder is known to this process, and forgotten afterwards."""

    def forget():
        importlib.invalidate_caches()
        for known in (step_table.entry, step_table._external):
            known.cache_clear()
        for known in (components._load_unnamed, components._load_entry_points):
            known.cache_clear()

    forget()
    sys.path.insert(0, str(site))
    try:
        yield
    finally:
        sys.path.remove(str(site))
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]
        for kind in KINDS.values():
            for name, component in list(kind.components.items()):
                if component.__module__.partition(".")[0] == package:
                    del kind.components[name]
        forget()


def run_here(*args, folder: Path, root: Path | None = None, tiny: bool = False, lines: str = ""):
    """As :func:`run` in this process, the tiny package installed only if asked for.

    It spares the seconds that a process of its own takes to import what learns.
    """
    out, err, terminate = io.StringIO(), io.StringIO(), signal.getsignal(signal.SIGTERM)
    try:
        with (
            contextlib.chdir(folder),
            patch.dict(os.environ, CIRTORCH_ROOT=str(root or folder / "root")),
            patch("sys.stdin", io.StringIO(lines)),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            found_here(install(folder / "site")) if tiny else contextlib.nullcontext(),
        ):
            try:
                code = main(list(args))
            except SystemExit as error:  # of the parser
                code = error.code
    finally:
        signal.signal(signal.SIGTERM, terminate)
    return subprocess.CompletedProcess(args, code, out.getvalue(), err.getvalue())
