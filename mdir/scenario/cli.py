"""The command: arguments, what is printed, exit codes.

0 done, 1 a step failed, 2 a bad scenario or usage, 130 interrupted, 143 terminated.
"""

import argparse
import io
import os
import shlex
import signal
import sys
import time
import traceback
from collections import Counter
from contextlib import nullcontext
from importlib import import_module

import yaml

from cirtorch.utils.errors import suggest
from cirtorch.utils.locks import held
from mdir.errors import USER_ERRORS
from mdir.registry import Problem
from mdir.scenario.checks import (
    check_before_running,
    check_everything,
    check_scenario_level,
)
from mdir.scenario.decisions import LEAVE, RUN, Choice, Decider
from mdir.scenario.failures import StepFailed, Terminated, message_of
from mdir.scenario.journal import Journal, seeds, versions
from mdir.scenario.plan import FUNCTION, load_scenario, plan_target
from mdir.scenario.processes import Processes
from mdir.scenario.program import program
from mdir.scenario.runner import closing_lines, perform
from mdir.scenario.tree import Located, ScenarioError

DESCRIPTION = """\
Perform the steps of one target of a scenario.

    %(prog)s list SCENARIO                  show the targets of a scenario
    %(prog)s validate SCENARIO [OVERLAY]    check every target, run nothing
    %(prog)s TARGET SCENARIO [OVERLAY]      run a target; what is up to date is skipped
    %(prog)s sweep TARGET SCENARIO ... SWEEP  run many cells: seeds, values, overlays; one table
    %(prog)s doctor                         show which datasets and weights are there
    %(prog)s components [KIND [NAME]]       show what a scenario can name, with its parameters
    %(prog)s schema                         write a JSON Schema of scenarios, for editors
    %(prog)s serve SCENARIO [TARGET]        search the index of a target in a page, or by JSON
"""
EPILOG = """\
An OVERLAY covers the scenario from left to right: another .yml file, or section.sub.key=value. A
value that is JSON (7, 2e-4, true, null, ["a", "b"], {}, "7") is what JSON says, all else is text
as it stands. key* replaces a list or mapping instead of merging, key+ appends, key? covers only
what is there.

examples:
    %(prog)s all quickstart.yml
    %(prog)s train iccv23/train/cut.yml train.1_train_augment.learning.training.seed=1
    %(prog)s all quickstart.yml --dry-run
    ls "$PWD"/*.jpg | %(prog)s output iccv23/train/hedngan.yml

Files are looked for as given, then under scenarios/. Results lie under $CIRTORCH_ROOT, the
journal of every step under $CIRTORCH_ROOT/journal; by default that is the checkout, or the current
folder where the package is installed.
exit codes: 0 done, 1 a step failed, 2 a bad scenario or usage, 130 interrupted, 143 terminated
"""

# Commands of their own, imported when called: ``main(arguments) -> exit code``.
MODULES = {
    "components": "mdir.scenario.assist.components",
    "doctor": "mdir.scenario.doctor",
    "schema": "mdir.scenario.assist.schema",
    "serve": "mdir.serve.cli",
    "sweep": "mdir.sweep.cli",
}
FORCE = (
    "run every step, also those that are up to date; a training that is finished is kept, remove "
    "its folder to train anew"
)


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says (``sys.argv`` where None); the result is the exit code."""
    if "_ARGCOMPLETE" in os.environ:  # the shell asks how a line may go on
        commands = [*COMMANDS, *MODULES]
        import_module("mdir.scenario.assist.completion").complete(_parser(), commands)
    arguments = sys.argv[1:] if arguments is None else arguments
    options = argparse.Namespace(traceback=False, processes=Processes())
    code = _main(options, arguments)
    if code and options.processes.count > 1:
        # Cleaning up would wait for processes that are gone, or wait themselves.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _main(options, arguments):
    try:
        code = _do(options, arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except ScenarioError as error:
        return _fail(error, options, 2, _report(error))
    except StepFailed as error:
        is_told = not isinstance(error.__cause__, RuntimeError)  # exchanges fail with one
        lost = None if is_told else options.processes.missed()
        text = str(error) if lost is None else f"step {error.step} failed: {lost}"
        return _fail(error, options, 1, text)
    except USER_ERRORS as error:
        return _fail(error, options, 1, message_of(error))
    except KeyboardInterrupt:
        print("interrupted; what is done is kept, the same command goes on", file=sys.stderr)
        return 130
    except Terminated:
        lost = options.processes.lost()
        options.processes.tell_terminated()
        if lost is not None and options.processes.fails():
            print(f"error: {lost}", file=sys.stderr)
        elif options.processes.is_first:
            print("terminated; what is done is kept, the same command goes on", file=sys.stderr)
        return 143


def _do(options, arguments):
    if arguments and arguments[0] in MODULES:
        return import_module(MODULES[arguments[0]]).main(arguments[1:])
    _parse(arguments, options)
    return COMMANDS.get(options.target, _run)(options, arguments)


def _parser():
    parser = argparse.ArgumentParser(
        prog=program(),
        usage="%(prog)s [OPTIONS] TARGET SCENARIO [OVERLAY ...]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("words", nargs="*", metavar="TARGET SCENARIO [OVERLAY ...]", help=argparse.SUPPRESS)
    add("--print-steps", action="store_true", help="print the steps and their parameters, as YAML")
    add("--dry-run", action="store_true", help="print what would run or be skipped, and why")
    add("--force", action="store_true", help=FORCE)
    add("--from", dest="start", metavar="STEP", help="run this step and all that follow, only them")
    add("--only", metavar="STEP", help="run this step alone")
    add("--cell", metavar="NAME", help="run as this cell of a sweep, with a journal of its own")
    add("--traceback", action="store_true", help="show the traceback of an error")
    return parser


def _parse(arguments, options):
    parser = _parser()
    parser.parse_intermixed_args(arguments, options)
    if len(options.words) < 2:
        parser.error("TARGET and SCENARIO are needed; --help shows examples")
    options.target, *options.layers = options.words


def _list(options, arguments):
    print(_target_list(_scenario(options)))
    return 0


def _validate(options, arguments):
    plans, warnings = check_everything(options.layers, options.cell)
    _print_warnings(warnings)
    steps = [len(plan.steps) for plan in plans]
    print(f"nothing is wrong: {_counted(len(steps), 'target')}, {_counted(sum(steps), 'step')}")
    return 0


def _counted(count, noun):
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


COMMANDS = {"list": _list, "validate": _validate}


def _scenario(options, collect=False):
    return load_scenario(options.layers, collect, options.cell)


def _run(options, arguments):
    if options.print_steps:
        plan = plan_target(_scenario(options), options.target)
        steps = {step.name: step.parameters for step in plan.steps}
        print(yaml.safe_dump(steps), end="")
        return 0
    plan = check_scenario_level(_scenario(options, collect=True), options.target)
    _print_warnings(plan.scenario.warnings + plan.warnings)
    _require_steps(plan, options)
    return _perform(plan, options, arguments)


def _perform(plan, options, arguments):
    signal.signal(signal.SIGTERM, terminate)
    processes, journal = options.processes, Journal(plan.scenario.journal_name, plan.target)
    processes.meet(journal.folder)
    if not processes.is_first:
        # what steps print is the same everywhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    lines = _stdin_lines(plan, options) if processes.is_first else None
    lines = processes.broadcast("stdin", lines)
    choice = Choice(options.force, options.start, options.only, lines)
    decisions = Decider(plan, journal, choice).decide_all()
    _print_warnings(journal.warnings)
    _print_warnings(check_before_running(plan, decisions, choice))
    if options.dry_run:
        _say(_dry_run(decisions))
        return 0
    start, command = time.monotonic(), [program(), *arguments]
    say = _say if processes.is_first else lambda line: None
    with _alone(plan, processes, journal):
        if processes.is_first:
            _open(plan, decisions, journal, command)
        summary = perform(
            plan, journal=journal, choice=choice, command=command, say=say, processes=processes
        )
    for line in closing_lines(summary, journal, time.monotonic() - start):
        say(line)
    processes.leave()
    return 0


def _alone(plan, processes, journal):
    """Hold the cell of a sweep, which an earlier sweep may have left running."""
    if plan.scenario.cell is None or not processes.is_first:
        return nullcontext()
    return held(journal.lock, lambda holder: _say(f"waits for the cell's earlier run ({holder})"))


def _say(line):
    print(line, flush=True)


def _target_list(scenario):
    lines = [""]
    for name, node in scenario.targets.items():
        children = node.value if isinstance(node.value, dict) else {}
        doc = children.get("__doc__")
        lines.append(f"- {name} - {doc.value}" if doc else f"- {name}")
    return "\n".join([*lines, ""])


def _require_steps(plan, options):
    names = [step.name for step in plan.steps]
    for option, name in (("--from", options.start), ("--only", options.only)):
        if name is not None and name not in names:
            hint = suggest(name, names)
            message = f"{option}: unknown step {name!r}.{hint} Steps: {', '.join(names)}"
            raise ScenarioError([Located(Problem((plan.target,), message), None)])


def _stdin_lines(plan, options):
    """The lines that are piped in, where some step to be run wants them; None on a terminal."""
    steps = [step for step in plan.steps if options.only in (None, step.name)]
    wanted = any(step.entry.reads_stdin(step.parameters) for step in steps)
    if not wanted or sys.stdin is None or sys.stdin.isatty():
        return None
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # names of files may be any bytes
    lines = (line.strip("\ufeff \t\r\n") for line in sys.stdin)
    return [line for line in lines if line]


def _open(plan, decisions, journal, command):
    """The head of a run's log: command, versions, where the resolved scenario is, seeds."""
    _say(shlex.join(command))
    _say(", ".join(f"{name} {version}" for name, version in versions().items()))
    if any(decision.action == RUN for decision in decisions):
        resolved = {d.step.name: {FUNCTION: d.step.function, **d.parameters} for d in decisions}
        journal.write_text("scenario.yml", yaml.safe_dump({plan.target: resolved}))
    _say(f"scenario {plan.scenario.name}, target {plan.target}, resolved in {journal.folder}")
    found = {
        f"{decision.step.name}.{key}": seed
        for decision in decisions
        for key, seed in seeds(decision.parameters).items()
    }
    if found:
        usual = Counter(found.values()).most_common(1)[0][0]
        others = [f"{key} {seed}" for key, seed in found.items() if seed != usual]
        _say(f"seed {usual} everywhere" + (f" but {', '.join(others)}" if others else ""))


def _dry_run(decisions):
    words = {RUN: "would run", LEAVE: "left out"}
    blocks = []
    for decision in decisions:
        lead = words.get(decision.action, "would be skipped")
        parameters = yaml.safe_dump(decision.parameters).rstrip()
        blocks.append(f"-- {decision.step.name} --\n{lead}: {decision.why}\n{parameters}")
    return "\n".join(blocks)


def _print_warnings(warnings):
    if not Processes().is_first:
        return
    for warning in dict.fromkeys(warnings):
        print(f"warning: {warning}", file=sys.stderr)


def _report(error):
    count = len(error.problems)
    head = f"the scenario cannot be performed, {count} problem{'s' if count > 1 else ''}:"
    return "\n".join([head, *map(str, error.problems), *filter(None, [error.note])])


def _fail(error, options, code, text):
    if not (options.processes.is_first if code == 2 else options.processes.fails()):
        return code
    if options.traceback:
        traceback.print_exception(error)
    print(f"error: {text}" if code == 1 else text, file=sys.stderr)
    return code


def terminate(number, frame):
    """SIGTERM ends the main process in order; a worker that inherited this just ends."""
    if os.getpid() != _MAIN_PROCESS:
        os._exit(143)
    # Who ends a process often tells its whole group, and so tells it twice.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


_MAIN_PROCESS = os.getpid()
