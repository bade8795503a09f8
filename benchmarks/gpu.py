"""What one graphics card gives: descriptors, training steps, mining, clustering, golden numbers.

    python3 -m benchmarks.gpu --json gpu.json [--minutes 9] [--golden FOLDER] [--only TEXT ...]

Writes the JSON file after each case; a run that was cut off goes on with the same file. Cases that
no longer fit the minutes are left out, and it says so. Without a card the cases are small; they
then show that they run, and nothing of speed.
"""

import argparse
import gc
import json
import os
import platform
import signal
import time
import traceback
import warnings
from contextlib import contextmanager
from pathlib import Path

import torch

_TRIES = 2
_MARGIN_S = 10
_SHOWN = (
    ("ms", ("milliseconds",), "{:.1f}"),
    ("images/s", ("images_per_second",), "{:.1f}"),
    ("twin", ("ratio",), "{:.2f}x"),
    ("roofline", ("roofline",), "{:.0%}"),
    ("difference", ("difference",), "{:.1e}"),
    ("peak MiB", ("peak_mib",), "{:.0f}"),
    ("first s", ("first_seconds",), "{:.1f}"),
)


class OutOfTime(BaseException):
    """A case took longer than it may; no handler of errors on the way shall keep it."""


def machine(device) -> dict:
    """What the figures were measured on, and with."""
    import torchvision

    told = {"device": str(device), "threads": torch.get_num_threads(), "cpus": os.cpu_count()}
    told |= {"processor": platform.processor() or platform.machine()}
    told |= {"python": platform.python_version(), "torch": torch.__version__}
    told |= {"torchvision": torchvision.__version__, "cuda": torch.version.cuda}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        told |= {"device": properties.name, "memory_mib": properties.total_memory // 2**20}
        told |= {"cudnn": torch.backends.cudnn.version()}
    return told


def write(path, results) -> None:
    """Never half a file: written beside, then renamed."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(results, indent=1))
    beside.replace(path)


def earlier(path, about, sizes) -> dict:
    """The results that a run which was cut off left, if they are of the same machine and sizes."""
    fresh = {"machine": about, "sizes": sizes, "cases": {}}
    if not path.exists():
        return fresh
    try:
        found = json.loads(path.read_text())
        same = found["sizes"] == sizes and found["machine"]["device"] == about["device"]
    except (ValueError, KeyError, TypeError):
        raise SystemExit(f"{path} holds no results of this benchmark; name another file") from None
    if not same:
        raise SystemExit(f"{path} is of another device or of other sizes; name another file")
    return found


@contextmanager
def at_most(seconds: float):
    """End what runs longer, by :class:`OutOfTime`."""

    def stop(*_):
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(1.0, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_case(case, bench, limit) -> dict:
    """Figures of a case, or what went wrong."""
    begin = time.perf_counter()
    try:
        with at_most(limit):
            told = {"status": "done", **case.function(bench, *case.arguments)}
        if "skipped" in told:
            told["status"] = "skipped"
    except OutOfTime:
        told = {"status": "out of time", "error": f"took longer than {limit:.0f} s"}
    except torch.OutOfMemoryError as error:
        told = {"status": "out of memory", "error": str(error).partition("\n")[0]}
    except Exception as error:
        told = {"status": "error", "error": f"{type(error).__name__}: {error}"[:2000]}
        told["where"] = traceback.format_exc()[-3000:]
    told["seconds"] = round(time.perf_counter() - begin, 2)
    return told


def clean_up(bench) -> None:
    """What a case leaves in memory does not count for the next."""
    gc.collect()
    torch._dynamo.reset()
    if bench.is_cuda:
        torch.cuda.empty_cache()


def cells(told) -> list[str]:
    """One row of the table."""
    row = []
    for _, (key,), form in _SHOWN:
        value = told.get(key)
        row.append("" if value is None else form.format(value))
    return row


def table(results) -> str:
    """All cases as a table in Markdown."""
    titles = ["case", *(title for title, _, _ in _SHOWN), "status"]
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for name, told in results["cases"].items():
        lines.append("| " + " | ".join([name, *cells(told), told["status"]]) + " |")
    for name, told in results["cases"].items():
        for group, found in told.get("groups", {}).items():
            if "cases" in found:
                figures = f"{found['cases']} cases, differ by {found['greatest']:.1e} at most, "
                figures += f"{found['of_bound']:.2g} of what is allowed ({found['worst']})"
                if found.get("outside"):
                    figures += f", outside {', '.join(found['outside'])}"
            else:
                figures = ""
            lines.append(f"{name}: {group}: {figures} {'; '.join(found['errors'])}".rstrip())
    if peaks := results["cases"].get("roofline", {}).get("peaks"):
        shown = [f"{name} {value / 1e12:.3g}" for name, value in peaks.items()]
        lines.append(f"peaks, in 10^12 operations or bytes a second: {', '.join(shown)}")
    return "\n".join(lines)


def run(wanted, bench, path, results, deadline) -> None:
    """Run what is not done yet, and keep each result."""
    for case in wanted:
        before = results["cases"].get(case.name, {"status": "new", "tries": 0})
        if before["status"] == "done":
            print(f"{case.name}: done before", flush=True)
            continue
        if before.get("tries", 0) >= _TRIES:
            print(f"{case.name}: tried {_TRIES} times before, {before['status']}", flush=True)
            continue
        left, tries = deadline - time.monotonic(), before.get("tries", 0)
        if bench.is_cuda and case.seconds > left:
            told = {"status": "skipped", "error": f"{left:.0f} s were left", "tries": tries}
        elif left <= 0:
            told = {"status": "skipped", "error": "no time was left", "tries": tries}
        else:
            results["cases"][case.name] = {"status": "cut off", "tries": tries + 1}
            write(path, results)
            told = run_case(case, bench, min(left, max(30, 2.5 * case.seconds)))
            told["tries"] = tries + 1
        results["cases"][case.name] = told
        bench.peaks |= told.get("peaks", {})
        write(path, results)
        shown = ", ".join(f"{title} {cell}" for (title, _, _), cell in
                          zip(_SHOWN, cells(told), strict=True) if cell)  # fmt: skip
        error = told.get("error", "")
        if told.get("outside"):
            error = f"outside what is allowed: {', '.join(told['outside'])}"
        took = told.get("seconds", 0)
        print(f"{case.name}: {told['status']} in {took:.1f} s {shown} {error}", flush=True)
        clean_up(bench)


def main(arguments=None):
    """Run the cases, print the table; returns the results as in the file."""
    parser = argparse.ArgumentParser(prog="benchmarks.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, default=Path("gpu.json"), help="where results go")
    parser.add_argument("--minutes", type=float, default=9.0, help="time for all cases")
    parser.add_argument("--golden", help="folder of the golden numbers (default: GOLDEN_ROOT)")
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="cases whose name holds one")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(arguments)
    deadline = time.monotonic() + 60 * args.minutes - _MARGIN_S
    if args.golden:
        os.environ["GOLDEN_ROOT"] = str(Path(args.golden).resolve())
    from benchmarks import gpu_bench, gpu_cases

    warnings.simplefilter("ignore")
    device = torch.device(args.device)
    sizes = gpu_bench.FULL if device.type == "cuda" else gpu_bench.SMALL
    about = machine(device)
    results = earlier(args.json, about, json.loads(json.dumps(vars(sizes))))
    bench = gpu_bench.Bench(device, sizes)
    bench.peaks |= results["cases"].get("roofline", {}).get("peaks", {})
    print(f"{about['device']}, torch {about['torch']}", flush=True)
    wanted = [
        case for case in gpu_cases.cases(sizes)
        if args.only is None or any(text in case.name for text in args.only)
    ]  # fmt: skip
    run(wanted, bench, args.json, results, deadline)
    print(table(results), flush=True)
    return results


if __name__ == "__main__":
    main()
