"""Mutation testing: do the tests see small mistakes in the code?"""

import argparse
import importlib
import itertools
import json
import os
import pkgutil
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import cirtorch
import mdir
from tests.mutants.measuring import load, measure, merged, moved
from tests.mutants.mutations import mutants_of
from tests.mutants.running import SURVIVED, with_tests

DESCRIPTION = """\
Draw mutants (the code with one small mistake each) and run the tests that come to their lines.
Without --measure, which tests those are is taken from the last run; measure again after a change.
"""
PROJECT = Path(__file__).resolve().parents[2]
COPY = "MUTANTS_COPY"  # set in a copy of the project, where mutants are: what to do
PLACES = ["mdir/scenario", "mdir/learning", "cirtorch/utils/fingerprints.py"]
TESTS = ["tests/scenario", "tests/shipped", "tests/learning", "tests/stages", "tests/registry"]
TESTS += ["tests/cirtorch/test_fingerprints.py"]
CONTROL_EVERY = 25  # mutants: their tests once more with nothing changed, which must pass


def main(arguments: list[str], home: Path = PROJECT / ".mutants") -> int:
    """Copy the project and test mutants of the copy, so that tests' processes see them too.

    Args:
        arguments: of the command.
        home: for ``measured.json``, which tests come where, and ``results.jsonl``, which grows.
    """
    options = _options(arguments)
    home.mkdir(exist_ok=True)
    record = home / "measured.json"
    is_measured = options.measure is None and record.exists()
    shared = PROJECT.parent / "shared"
    environ = {
        "GOLDEN_ROOT": str(shared / "golden"),
        "PHOTOS_ROOT": str(shared / "data" / "photos"),
        "OMP_NUM_THREADS": "1",
        **os.environ,
        "PYTEST_CURRENT_TEST": "",  # of a test that tests this
    }
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.check_output(listed, cwd=PROJECT, text=True).split("\0"):
            if (PROJECT / name).is_file():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT / name, Path(folder) / name)
        works = [] if is_measured else [_measure]
        for work in [*works, _judge_chosen] if options.sample != 0 else works:
            settings = json.dumps({"work": work.__name__, "home": str(home), **vars(options)})
            command = [sys.executable, "-m", "tests.mutants"]
            code = subprocess.run(command, cwd=folder, env={**environ, COPY: settings}).returncode
            if code:
                return code
    return 0


def _options(arguments):
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=DESCRIPTION)
    add = parser.add_argument
    add("places", nargs="*", default=PLACES, help="folders or files; %(default)s")
    add("--sample", type=int, metavar="N", help="so many of all mutants, drawn at random")
    add("--seed", type=int, default=0, help="of the draw")
    add("--seconds", type=float, default=120, help="the tests of a mutant, the quickest first, as "
        "many as took so long when they were measured; %(default)s")  # fmt: skip
    add("--lines", type=int, nargs="+", help="only mutants of those lines")
    add("--measure", nargs="*", metavar="TESTS", help="find which tests come to which line first: "
        f"{', '.join(TESTS)}, or those named, whose earlier results they replace")  # fmt: skip
    return parser.parse_args(arguments)


def _measure(options):
    place = Path(options.home) / "measured.json"
    with tempfile.TemporaryDirectory() as folder:
        new = measure(Path(folder), options.measure or TESTS)
    is_part = options.measure and place.exists()
    place.write_text(json.dumps(merged(load(place), new) if is_part else new))


def _judge_chosen(options):
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    home = Path(options.home)
    record, mutants = moved(load(home / "measured.json")), _mutants(options)
    chosen = [(mutant, _tests(mutant, record, options.seconds)) for mutant in mutants]
    files = sorted({test.partition("::")[0] for _, tests in chosen for test in tests})
    with (
        os.fdopen(os.dup(1), "w", buffering=1) as out,
        open(os.devnull, "w") as nothing,
        open(home / "results.jsonl", "a") as kept,
    ):
        os.dup2(nothing.fileno(), 1)  # what pytest says of every single test
        seconds = record["seconds"]
        with_tests(files, lambda tests: _judge_all(tests, chosen, seconds, out, kept))


def _judge_all(tests, chosen, seconds, out, kept):
    _import_modules(chosen)
    results = defaultdict(Counter)
    judged = 0
    for number, (mutant, names) in enumerate(chosen):
        judged += bool(names)
        if names and judged % CONTROL_EVERY == 1:
            unchanged = replace(mutant, mutation=None, in_head=False)
            outcome, test = tests.judge(unchanged, names, seconds)
            if outcome != SURVIVED:
                print(f"{test}: {outcome} with nothing changed; measure again", file=out)
                return
        outcome, test = "uncovered", ""
        if names:
            outcome, test = tests.judge(mutant, names, seconds)
        results[mutant.path][outcome] += 1
        found = {"mutant": str(mutant), "outcome": outcome, "test": test, "tests": len(names)}
        print(json.dumps({**found, "diff": mutant.diff()}), file=kept, flush=True)
        print(f"{number + 1}/{len(chosen)} {mutant} {outcome} {test}", file=out)
        if outcome in (SURVIVED, "uncovered"):
            print(mutant.diff(), file=out)
    print(_table(results), file=out)


def _import_modules(chosen):
    """Import what has mutants and, where tests need large libraries, all that they may need."""
    names = {mutant.path.removesuffix(".py").replace("/", ".") for mutant, _ in chosen}
    if "torch" in sys.modules:
        for top in (mdir, cirtorch):
            names |= {each.name for each in pkgutil.walk_packages(top.__path__, f"{top.__name__}.")}
    for name in sorted(names):
        importlib.import_module(name)


def _mutants(options):
    paths = [path for place in map(Path, options.places)
             for path in ([place] if place.is_file() else sorted(place.rglob("*.py")))]  # fmt: skip
    found = [mutant for path in paths for mutant in mutants_of(str(path), path.read_text())]
    if options.lines is not None:
        found = [mutant for mutant in found if mutant.line in options.lines]
    if options.sample is not None:
        found = random.Random(options.seed).sample(found, min(options.sample, len(found)))
    return found


def _tests(mutant, record, most):
    """The tests that come to a mutant's lines, the quickest first, as long as there is time."""
    lines, seconds = record["lines"].get(mutant.path, {}), record["seconds"]
    found = {test for line in mutant.lines for test in lines.get(str(line), ())}
    ordered = sorted(found, key=lambda test: (seconds[test], test))
    spent = itertools.accumulate(seconds[test] for test in ordered)
    before = [0.0, *spent]  # the first one is tried, however long it takes
    return [test for test, at in zip(ordered, before, strict=False) if at < most]


def _table(results):
    rows = []
    for path, counts in sorted(results.items()):
        rows.append((path, counts))
    rows.append(("all", sum(results.values(), Counter())))
    lines = ["killed timeout survived uncovered  share  file"]
    for path, counts in rows:
        caught, every = counts["killed"] + counts["timeout"], counts.total()
        numbers = (counts[name] for name in ("killed", "timeout", "survived", "uncovered"))
        told = "{:6} {:7} {:8} {:9}".format(*numbers)
        lines.append(f"{told}  {caught / max(every, 1):5.1%}  {path}")
    return "\n".join(lines)


if __name__ == "__main__":
    if COPY in os.environ:
        settings = argparse.Namespace(**json.loads(os.environ.pop(COPY)))
        {work.__name__: work for work in (_measure, _judge_chosen)}[settings.work](settings)
    else:
        sys.exit(main(sys.argv[1:]))
