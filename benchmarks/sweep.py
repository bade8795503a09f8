"""What a sweep costs a cell beside the cell's own start.

    python3 -m benchmarks.sweep

Cells that do next to nothing are run alone, one command after the other, and as sweeps of few
and of many cells. The difference of the two sweeps is that of so many cells, without what a sweep
costs once.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = Path(__file__).parents[1] / "perform_scenario.py"
SCENARIO = """\
go:
  1_settings: {__function__: mdir.stages.settings.settings, seed: 0}
  2_print: {__function__: print_scores, metadata: {drawn: {seed: "${1_settings.seed}"}}}
"""


def main(arguments: list[str] | None = None) -> None:
    """Print seconds a cell, alone and in a sweep, by the clock and of the processor."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=22, help="of the larger sweep, from 3")
    count = parser.parse_args(arguments).cells
    few = 2
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "s.yml").write_text(SCENARIO)
        cells = [
            _took(folder, "go", "s.yml", f"go.1_settings.seed={seed}", "--cell", f"alone-{seed}")
            for seed in range(count - few)
        ]
        alone = [sum(each) / len(cells) for each in zip(*cells, strict=True)]
        sweeps = {size: _sweep(folder, size) for size in (few, count)}
    within = [(b - a) / (count - few) for a, b in zip(sweeps[few], sweeps[count], strict=True)]
    for name, own, all_of_it in zip(("clock", "processor"), alone, within, strict=True):
        print(
            f"{name}: a cell alone {own:.2f} s, in a sweep of {count} {all_of_it:.2f} s: "
            f"{all_of_it - own:.2f} s more, {all_of_it / own:.2f} times"
        )


def _sweep(folder, size):
    name = f"cells{size}.yml"
    (Path(folder) / name).write_text(f"axes: {{go.1_settings.seed: 1..{size}}}\n")
    return _took(folder, "sweep", "go", "s.yml", name, "--jobs", "1", root=f"root{size}")


def _took(folder, *words, root="root"):
    """Seconds by the clock, and of the processor in all its processes."""
    environ = os.environ | {"CIRTORCH_ROOT": str(Path(folder) / root)}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, PROGRAM, *words]
    subprocess.run(command, cwd=folder, env=environ, check=True, stdout=subprocess.DEVNULL)
    took, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
