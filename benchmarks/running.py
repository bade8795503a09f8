"""Cases run one after the other: each apart, kept as soon as it is done, under one command line.

A run that was cut off goes on with its file.
"""

import argparse
import gc
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import threadpoolctl
import torch

from benchmarks import results as kept
from benchmarks.measuring import measure_peaks
from cirtorch.utils.errors import suggest

_TRIES = 2
_MODES, _SIDE, _COPIED = ("float32", "float64"), 3072, 1 << 26
_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_COMMAND = ("names", "json", "minutes", "against", "threads")
COLUMNS = (
    ("size", "size", "{}"),
    ("ms", "milliseconds", "{:,.1f}"),
    ("times as fast as its twin", "ratio", "{:.2f}"),
    ("share of the roofline", "roofline", "{:.1%}"),
    ("bound by", "bound", "{}"),
    ("difference", "difference", "{:.2g}"),
    ("more MiB", "peak_mib", "{:,.0f}"),
)


class OutOfTime(BaseException):
    """A case took longer than it may; no handler of errors on the way shall keep it."""


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Attributes:
        function: ``(bench, *arguments)`` -> its figures, or mappings of them under ``rows``;
            words under ``skipped`` where it cannot be measured.
        seconds: what it takes at most on an H100, its warm-up included; null: not limited.
    """

    name: str
    function: Callable[..., dict]
    seconds: float | None = None
    arguments: tuple = ()


@dataclass
class Bench:
    """Where the cases of a CPU run, and how large they are."""

    scale: float = 1.0
    peaks: dict = field(default_factory=dict)  # of measuring.measure_peaks
    is_cuda = False


@contextmanager
def at_most(seconds: float):
    """End what runs longer, by :class:`OutOfTime`."""

    def stop(*_):
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0 if math.isinf(seconds) else max(1.0, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_case(case: Case, bench, limit: float) -> dict:
    """Figures of a case, or what went wrong."""
    begin = time.perf_counter()
    try:
        with at_most(limit):
            told = {"status": "done", **case.function(bench, *case.arguments)}
        if "skipped" in told:
            told |= {"status": "skipped", "error": told["skipped"]}
    except OutOfTime:
        told = {"status": "out of time", "error": f"took longer than {limit:.0f} s"}
    except (torch.OutOfMemoryError, MemoryError) as error:
        told = {"status": "out of memory", "error": str(error).partition("\n")[0]}
    except Exception as error:
        told = {"status": "error", "error": f"{type(error).__name__}: {error}"[:2000]}
        told["where"] = traceback.format_exc()[-3000:]
    told |= {"date": kept.now(), "seconds": round(time.perf_counter() - begin, 2)}
    return told


def run(wanted: list[Case], bench, results: dict, keep, deadline=math.inf, columns=COLUMNS) -> None:
    """Run what is not done yet, and keep each result.

    Args:
        keep: called with the results whenever there is more in them.
        deadline: of :func:`time.monotonic`; no case starts after it.
    """
    bench.peaks |= results["cases"].get("roofline", {}).get("peaks", {})
    for case in wanted:
        before = results["cases"].get(case.name, {"status": "new", "tries": 0})
        if before["status"] == "done":
            print(f"{case.name}: done before", flush=True)
            continue
        tries, limited = before.get("tries", 0), case.seconds is not None
        if limited and tries >= _TRIES:
            print(f"{case.name}: tried {_TRIES} times before, {before['status']}", flush=True)
            continue
        left = deadline - time.monotonic()
        if bench.is_cuda and case.seconds > left:
            told = {"status": "skipped", "error": f"{left:.0f} s were left", "tries": tries}
        elif left <= 0:
            told = {"status": "skipped", "error": "no time was left", "tries": tries}
        else:
            results["cases"][case.name] = {"status": "cut off", "tries": tries + 1}
            keep(results)
            limit = min(left, max(30, 2.5 * case.seconds)) if limited else math.inf
            told = run_case(case, bench, limit)
            told["tries"] = tries + 1
        results["cases"][case.name] = told
        bench.peaks |= told.get("peaks", {})
        keep(results)
        _tell(case.name, told, columns)
        _clean_up(bench)


def _tell(name, told, columns):
    error = told.get("error", "")
    if told.get("outside"):
        error = f"outside what is allowed: {', '.join(told['outside'])}"
    print(
        f"{name}: {told['status']} in {told.get('seconds', 0):.1f} s {error}".rstrip(), flush=True
    )
    for label, row in kept.rows({"cases": {name: told}}):
        cells = kept.cells(row, columns)
        shown = [f"{title} {cell}" for (title, _, _), cell in zip(columns, cells, strict=True)
                 if cell != "-"]  # fmt: skip
        if shown:
            words = label.removeprefix(name).lstrip(", ")
            print(f"  {words} {', '.join(shown)}" if words else f"  {', '.join(shown)}", flush=True)


def _clean_up(bench):
    """What a case leaves in memory does not count for the next."""
    gc.collect()
    torch._dynamo.reset()
    if bench.is_cuda:
        torch.cuda.empty_cache()


def peaks(bench) -> dict:
    """The peaks of matrix products and of a copy, on the threads in use."""
    return {"peaks": measure_peaks(_MODES, _SIDE, _COPIED)}


def command_line(prog: str, about: str, known: str = "") -> argparse.ArgumentParser:
    """The options that all benchmarks of a CPU have.

    Args:
        known: names of cases, for its help.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {prog}", description=about.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{known or 'cases'}; all if none")
    parser.add_argument("--scale", type=_positive, default=1.0, help="factor of all sizes")
    parser.add_argument("--threads", type=partial(_positive, kind=int), help="of every library")
    parser.add_argument("--minutes", type=_positive, default=math.inf, help="no case starts later")
    parser.add_argument("--json", type=Path, help="keep results; go on with those of the file")
    parser.add_argument("--against", type=Path, help="results of another commit, to compare with")
    return parser


def _positive(text, kind=float):
    try:
        value = kind(text)
    except ValueError:
        value = 0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value


def main(parser, options, cases: list[Case], module: str = "") -> dict:
    """Run the cases that a command line names; returns the results.

    Args:
        module: its cases need not be named with it.

    Raises:
        SystemExit: 2, after words, where a name or a file is wrong; 130 where it is interrupted.
    """
    wanted = _chosen(parser, options.names, cases, f"{module}." if module else "")
    sizes = {key: value for key, value in vars(options).items() if key not in _COMMAND}
    deadline = time.monotonic() + 60 * options.minutes
    try:
        then = kept.read(options.against) if options.against else None
        with threads(options.threads):
            results = kept.fresh("cpu", sizes)
            if options.json:
                results = kept.earlier(options.json, results)
            keep = partial(kept.write, options.json) if options.json else lambda results: None
            keep(results)
            every = [Case("roofline", peaks), *wanted]
            run(every, Bench(options.scale), results, keep, deadline)
    except (kept.WrongFile, OSError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        going_on = f"; what was done is in {options.json}" if options.json else ""
        print(f"interrupted{going_on}", file=sys.stderr)
        sys.exit(130)
    print(kept.table(results, COLUMNS), flush=True)
    if then:
        print(kept.beside(then, results), flush=True)
    return results


def _chosen(parser, names, cases, module):
    """The cases of these names; a name stands for all that begin with it and a dot."""
    known = [case.name for case in cases]
    wanted = set()
    for name in names:
        found = {each for each in known for full in (name, module + name)
                 if f"{each}.".startswith(f"{full}.")}  # fmt: skip
        if not found:
            short = [each.removeprefix(module) for each in known]
            near = suggest(name, [*short, *{each.partition(".")[0] for each in short}])
            parser.error(f"no benchmark {name!r}.{near} There are {', '.join(short)}")
        wanted |= found
    return [case for case in cases if not names or case.name in wanted]


@contextmanager
def threads(count: int | None):
    """So many threads for every library and for processes that are started inside; null: as is."""
    if count is None:
        yield
        return
    before, of_torch = {name: os.environ.get(name) for name in _POOLS}, torch.get_num_threads()
    os.environ |= dict.fromkeys(_POOLS, str(count))
    torch.set_num_threads(count)
    try:
        with threadpoolctl.threadpool_limits(limits=count):
            yield
    finally:
        torch.set_num_threads(of_torch)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def exit_code(results: dict) -> int:
    """1 where a case went wrong."""
    told = results["cases"].values()
    return int(any(one["status"] in ("error", "out of memory") for one in told))
