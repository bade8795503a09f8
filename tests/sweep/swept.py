"""A package of cheap steps for cells, and the real command over a scenario of them."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from mdir.scenario import step_table
from tests.scenario.command import COMMAND, run_here

STEPS = '''
import hashlib
import json
import os
import time
from pathlib import Path

from cirtorch.utils.files import atomic_write
from mdir.artifacts import begun, produced, used
from mdir.errors import UserError
from mdir.paths import resolve_path
from mdir.stages.step import step


def called(name):
    with open(os.environ["CALLS"], "a") as file:
        file.write(f"{name} {os.environ.get('OMP_NUM_THREADS')}"
                   f" {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")


@step
def learn(_inputs, *, directory: str, seed: int = 0, source: str | None = None, epochs: int = 4,
          pause: float = 0.0, rate: float = 1.0):
    """Chain digests, an epoch a file; what is there already goes on."""
    called(f"learn {directory}")
    text = ""
    if source is not None:
        used(resolve_path(source))
        text = Path(resolve_path(source)).read_text()
    folder = Path(resolve_path(directory))
    begun(folder)
    while os.path.exists(os.environ["CALLS"] + ".hold"):
        time.sleep(0.01)
    for epoch in range(epochs):
        path = folder / f"{epoch}.json"
        if not path.exists():
            time.sleep(pause)
            found = hashlib.sha256(f"{text} {seed} {rate} {epoch}".encode()).hexdigest()
            with atomic_write(path, "w") as file:
                json.dump(found, file)
        text = json.loads(path.read_text())
        produced(path)
    return {"last": str(folder / f"{epochs - 1}.json")}


@step
def score(_inputs, *, source: str, fails: str | None = None):
    """A number out of a file."""
    if fails is not None and Path(resolve_path(fails)).exists():
        raise UserError(f"{fails} is there")
    used(resolve_path(source))
    number = int(json.loads(Path(resolve_path(source)).read_text())[:8], 16) / 2**32
    return {"eval": {"city/validation/score_avg:map": number}}


def names(params, data=()):
    return {"names": data}


names.reads_stdin = True
'''
ENTRY_POINTS = """\
[mdir.steps]
swept.learn = swept.steps:learn
swept.score = swept.steps:score
swept.names = swept.steps:names
"""
SCENARIO = """\
go:
  0_settings: {__function__: mdir.stages.settings.settings, seed: 0, rate: 1, pause: 0}
  1_shared: {__function__: swept.learn, directory: shared, pause: "${0_settings.pause}"}
  2_learn:
    __function__: swept.learn
    directory: cells/${0_settings.seed}-${0_settings.rate}
    source: ${1_shared._output_metadata.last}
    seed: ${0_settings.seed}
    rate: ${0_settings.rate}
    pause: ${0_settings.pause}
  3_score:
    __function__: swept.score
    source: ${2_learn._output_metadata.last}
    fails: fails/${0_settings.seed}
"""
SWEEP = """\
axes: {go.0_settings.seed: 0..1, go.0_settings.rate: [1, 0.5]}
compare: 3_score
"""
CELLS = ["seed-0_rate-1", "seed-0_rate-0.5", "seed-1_rate-1", "seed-1_rate-0.5"]


def prepare(folder: Path) -> Path:
    """Put the package, the scenario and the sweep file into a folder; returns it."""
    files = {
        "site/swept/__init__.py": "",
        "site/swept/steps.py": STEPS,
        "site/swept-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: swept\nVersion: 1.0\n",
        "site/swept-1.0.dist-info/entry_points.txt": ENTRY_POINTS,
        "s.yml": SCENARIO,
        "sweep.yml": SWEEP,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def environment(folder: Path, **environ) -> dict[str, str]:
    """What the command finds its root and the package by."""
    return {
        "CIRTORCH_ROOT": str(folder / "root"),
        "PYTHONPATH": str(folder / "site"),
        "CALLS": str(folder / "calls.txt"),
        **environ,
    }


def words_of(words: Sequence[str]) -> list[str]:
    """``sweep go s.yml WORDS sweep.yml``, options last."""
    options = [word for word in words if word.startswith("--")]
    layers = [word for word in words if not word.startswith("--")]
    return ["sweep", "go", "s.yml", *layers, "sweep.yml", *options]


def start(folder: Path, *words: str, **environ) -> subprocess.Popen:
    """The command in a process of its own; folder and root are those of a test."""
    return subprocess.Popen(
        [*COMMAND, *words_of(words)],
        cwd=folder,
        env=os.environ | environment(folder, **environ),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def sweep(folder: Path, *words: str, **environ) -> subprocess.CompletedProcess:
    """The command in this process, the cells in theirs."""
    with patch.dict(os.environ, environment(folder, **environ)), known(folder / "site"):
        return run_here(*words_of(words), folder=folder)


@contextlib.contextmanager
def known(site: Path):
    """The package in a folder as if it were installed."""
    caches = (step_table._external, step_table.entry)
    sys.path.insert(0, str(site))
    for cache in caches:
        cache.cache_clear()
    try:
        yield
    finally:
        sys.path.remove(str(site))
        for name in [name for name in sys.modules if name.partition(".")[0] == "swept"]:
            del sys.modules[name]
        for cache in caches:
            cache.cache_clear()


def table(folder: Path) -> str:
    """All numbers of the sweep's cells, as they were written."""
    return (folder / "root/sweeps/s/go/sweep/cells.csv").read_text()


def calls(folder: Path) -> list[str]:
    """What the steps of all cells told of themselves, in order."""
    return (folder / "calls.txt").read_text().splitlines()
