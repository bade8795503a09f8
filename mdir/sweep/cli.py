"""The command ``sweep``: many cells of one scenario as one table."""

import argparse
import os
import shlex
import signal
import sys
import tempfile
import time
from pathlib import Path

from cirtorch.utils.general import get_root
from cirtorch.utils.locks import held, holder_of, moment_in, moment_now
from mdir.errors import UserError
from mdir.scenario.cli import terminate
from mdir.scenario.journal import safe
from mdir.scenario.plan import load_scenario
from mdir.scenario.processes import Processes
from mdir.scenario.program import program
from mdir.sweep.cells import make_cells
from mdir.sweep.checks import plan_cells
from mdir.sweep.definition import read_sweep
from mdir.sweep.journals import CellJournal
from mdir.sweep.local import LocalRunner, end_left
from mdir.sweep.slurm import SlurmRunner, cluster_states
from mdir.sweep.watch import Watch, cell_lines

DESCRIPTION = """\
Run many cells of one target of a scenario, and make one table of them.

The sweep file, the last one, names what differs from cell to cell:

    axes:
      all.00_settings.seed: 0..4            # dotted keys: a range, or a list of values
      method: {plain: null, toy: toy.yml}   # a name: overlays, files or settings, by name
    exclude: [{seed: 4, method: toy}]
    compare: 13_evaluate_tuned              # whose numbers make the table
    resources: {cpus: 2, gpus: 1, time: 12h, memory: 16G, partition: gpu, setup: []}

A cell is an ordinary run: what is up to date is skipped, what was stopped goes on, and steps that
several cells have in common are made once. Its name is ${SWEEP_CELL} in the scenario. The same
command goes on where an earlier one ended; cells that are done are not started again.
"""
JOBS = (
    "cells at a time; by default as many as the graphics cards suffice for (one each, unless "
    "resources.gpus says otherwise), without any 1. Processors are divided among them "
    "(OMP_NUM_THREADS, unless it is set or resources.cpus says how many). On a cluster: by default "
    "as many as it allows"
)
ON = (
    "processes of this machine, or an array of jobs of a Slurm cluster, which needs "
    "resources.time, the extra 'slurm' and a CIRTORCH_ROOT that all machines share"
)
LOCK = ".lock"
POLL_S = 0.1


def main(arguments: list[str]) -> int:
    """Run the cells, or show how far they are."""
    options = _options(arguments)
    if Processes().count > 1:
        raise UserError(
            "a sweep starts the processes of its cells itself; call it without torchrun"
        )
    sweep = read_sweep(options.sweep)
    scenario = load_scenario(options.layers, collect=True)
    place = ("sweeps", safe(scenario.journal_name), safe(options.target), safe(sweep.name))
    folder = Path(get_root(), *place)
    cells = make_cells(sweep, options.target, options.layers, folder)
    plans = plan_cells(sweep, cells, options.target, whole=not options.status)
    journals = {cell.name: CellJournal(plans[cell.name]) for cell in cells}
    run = _Run(sweep, cells, journals, folder, f"{program()} sweep {shlex.join(arguments)}")
    if options.status or options.dry_run:
        holder = holder_of(folder / LOCK)
        began = moment_in(holder) if holder else None
        print("\n".join(cell_lines(cells, journals, run.seen(), began)))
        return 0
    signal.signal(signal.SIGTERM, terminate)
    with held(folder / LOCK, _refuse):
        return run.perform(_runner(options))


def _options(arguments):
    parser = argparse.ArgumentParser(
        prog=f"{program()} sweep",
        usage="%(prog)s [OPTIONS] TARGET SCENARIO [OVERLAY ...] SWEEP",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("words", nargs="*", help=argparse.SUPPRESS)
    add("--on", choices=("local", "slurm"), default="local", help=ON)
    add("--jobs", type=int, metavar="N", help=JOBS)
    add("--status", action="store_true", help="show how far the cells are, and nothing else")
    add("--dry-run", action="store_true", help="check all cells, and show which are done")
    options = parser.parse_intermixed_args(arguments)
    if len(options.words) < 3:
        parser.error("TARGET, SCENARIO and SWEEP are needed; --help shows an example")
    options.target, *options.layers, options.sweep = options.words
    if not options.sweep.endswith(".yml"):
        parser.error(f"the last word must be the sweep file, a .yml file, not {options.sweep!r}")
    if options.jobs is not None and options.jobs < 1:
        parser.error("--jobs is a whole number from 1")
    return options


def _runner(options):
    return {"local": LocalRunner, "slurm": SlurmRunner}[options.on](options.jobs)


def _refuse(holder):
    raise UserError(f"this sweep runs already ({holder}); --status shows how far it is")


class _Run:
    """One call of the command over its cells."""

    def __init__(self, sweep, cells, journals, folder, command):
        self.sweep, self.cells, self.journals = sweep, cells, journals
        self.folder, self.command = folder, command

    def look(self) -> dict[str, str]:
        """The state of every cell by its journal."""
        states = {}
        for name, journal in self.journals.items():
            if journal.is_running():
                states[name] = "running"
            elif journal.is_done():
                states[name] = "done"
            else:
                states[name] = "failed" if journal.has_failed() else "missing"
        return states

    def seen(self) -> dict[str, str]:
        """The state of every cell by its journal and, where it has a job, by the cluster."""
        states = self.look()
        try:
            states |= cluster_states(self.cells, self.folder)
        except UserError as error:
            print(f"error: {error}; states are those of the journals", file=sys.stderr)
        return states

    def perform(self, runner) -> int:
        """Run what is not done, write the table; 1 where a cell is missing."""
        began, states = moment_now(), self.look()
        todo = [cell for cell in self.cells if states[cell.name] != "done"]
        print(f"{len(self.cells)} cells, {len(self.cells) - len(todo)} done, in {self.folder}")
        self._tell_left()
        if todo:
            self._rehearse(states)
        runner.start(todo, self.sweep.resources, self.folder)
        try:
            states |= self._wait(runner, began)
        except BaseException:
            runner.stop()
            self._end_left()
            raise
        return self._close({name: states[name] for name in self.journals})

    def _rehearse(self, states):
        """Make the results of what is done, and throw them away.

        That loads all that the end needs before an update of this program can change it, and finds
        what is wrong with their numbers before other cells start.
        """
        with tempfile.TemporaryDirectory() as folder:
            *_, lacking = self._results(states, Path(folder))
        if lacking:
            raise UserError("\n".join(lacking))

    def _tell_left(self):
        for name, journal in self.journals.items():
            if holder := journal.holder():
                print(f"cell {name} runs already ({holder}); this sweep waits for it", flush=True)

    def _end_left(self):
        end_left(self.journals)
        for name, journal in self.journals.items():
            if holder := journal.holder():
                print(f"cell {name} still runs ({holder})", file=sys.stderr)

    def _wait(self, runner, began):
        watch = Watch(self.cells, self.journals, began)
        while True:
            states = runner.states()
            watch.tell(states)
            if not {"waiting", "running"} & set(states.values()):
                return {name: self._checked(name, state) for name, state in states.items()}
            time.sleep(POLL_S)

    def _checked(self, name, state):
        """A cell that ended well may have begun before its settings changed."""
        if state != "done" or self.journals[name].is_done():
            return state
        print(f"error: cell {name} ran with other settings than those of now", file=sys.stderr)
        return "missing"

    def _close(self, states):
        text, states, clashing, lacking = self._results(states, self.folder)
        for message in (*clashing, *lacking):
            print(f"error: {message}", file=sys.stderr)
        print(text)
        missing = [cell for cell in self.cells if states[cell.name] != "done"]
        for cell in missing:
            print(
                f"error: cell {cell.name} {states[cell.name]}; see {os.path.relpath(cell.log)}",
                file=sys.stderr,
            )
        if missing:
            print("the same command runs these cells again", file=sys.stderr)
        return 1 if missing or lacking else 0

    def _results(self, states, folder):
        """Write the results; what of them to print, states, and what is wrong with both."""
        from mdir.sweep.outcome import cell_results, clashes, without_numbers
        from mdir.sweep.results import Published, write_results

        clashing, compare = clashes(self.cells, self.journals), self.sweep.compare
        states = states | dict.fromkeys(clashing, "failed")
        found = cell_results(self.sweep, self.cells, self.journals, states)
        text = write_results(
            found,
            folder,
            title=self.command,
            axes=self.sweep.values,
            seeds=compare.seeds,
            differences=compare.differences,
            published=Published(**compare.published) if compare.published else None,
        )
        lacking = without_numbers(self.sweep, found)
        return text, states, dict.fromkeys(clashing.values()), lacking
