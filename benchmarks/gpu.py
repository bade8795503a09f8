"""What one graphics card gives: descriptors, training steps, mining, clustering, golden numbers.

    python3 -m benchmarks.gpu --json gpu.json [--minutes 9] [--golden FOLDER] [--only TEXT ...]

Writes the JSON file after each case; a run that was cut off goes on with the same file. Cases that
no longer fit the minutes are left out, and it says so. Without a card the cases are small; they
then show that they run, and nothing of speed.
"""

import argparse
import json
import os
import time
import warnings
from functools import partial
from pathlib import Path

import torch

from benchmarks import results as kept
from benchmarks.running import run

_MARGIN_S = 10
COLUMNS = (
    ("ms", "milliseconds", "{:.1f}"),
    ("images/s", "images_per_second", "{:.1f}"),
    ("twin", "ratio", "{:.2f}x"),
    ("roofline", "roofline", "{:.0%}"),
    ("difference", "difference", "{:.1e}"),
    ("peak MiB", "peak_mib", "{:.0f}"),
    ("first s", "first_seconds", "{:.1f}"),
)


def table(results) -> str:
    """All cases as a table in Markdown, and the groups of golden numbers."""
    lines = [kept.table(results, COLUMNS)]
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
    return "\n".join(lines)


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
    results = kept.fresh(device, json.loads(json.dumps(vars(sizes))))
    try:
        results = kept.earlier(args.json, results)
    except kept.WrongFile as error:
        parser.error(str(error))
    print(f"{results['machine']['device']}, torch {results['versions']['torch']}", flush=True)
    wanted = [
        case for case in gpu_cases.cases(sizes)
        if args.only is None or any(text in case.name for text in args.only)
    ]  # fmt: skip
    keep = partial(kept.write, args.json)
    run(wanted, gpu_bench.Bench(device, sizes), results, keep, deadline, COLUMNS)
    print(table(results), flush=True)
    return results


if __name__ == "__main__":
    main()
