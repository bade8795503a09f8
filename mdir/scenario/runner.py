"""Performs a plan: one step after the other, under the journal."""

import contextlib
import copy
import os
import time
import traceback
from dataclasses import dataclass, field

from cirtorch.utils.general import htime
from mdir import artifacts
from mdir.errors import USER_ERRORS, UserError
from mdir.scenario import functions
from mdir.scenario.decisions import (
    LEAVE,
    RUN,
    Choice,
    Decider,
    Decision,
    recorded_result,
    require_results,
)
from mdir.scenario.journal import Journal, decode, encode, finish_record, start_record
from mdir.scenario.plan import Plan, check_parameters
from mdir.scenario.tree import ScenarioError


class StepFailed(UserError):
    """A step did not end well; its name stands in the message, its cause behind it."""

    def __init__(self, step: str, message: str):
        self.step = step
        super().__init__(f"step {step} failed: {message}")


class Terminated(BaseException):
    """The process was asked to end (SIGTERM)."""


@dataclass
class Summary:
    """What came of a plan: metadata by step, names of those that ran, and where results are."""

    metadata: dict = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    outputs: dict = field(default_factory=dict)


def perform(
    plan: Plan,
    functions: dict | None = None,
    journal: Journal | None = None,
    choice: Choice | None = None,
    command: tuple = (),
    say=print,
) -> Summary:
    """Run the steps of a plan, skipping those that the journal shows to be up to date.

    Args:
        plan: of :func:`mdir.scenario.plan.plan_target`.
        functions: ``{name: (params, data) -> (metadata, ...)}`` in place of the real ones.
        journal: where to record; without one every step runs and nothing is kept.
        choice: what to run although it is up to date, or to leave out.
        command: the command line, for the journal.
        say: called with lines for the person who looks on.

    Raises:
        ScenarioError: a variable has no value, or a parameter known only now is bad.
        StepFailed: a step raised; what ran before it stays usable.
    """
    decider = Decider(plan, journal, choice)
    run = _Run(plan, decider, journal, functions or {}, list(command), say)
    for step in plan.steps:
        run.step(decider.decide(step))
    return run.summary


@dataclass
class _Run:
    plan: Plan
    decider: Decider
    journal: Journal | None
    functions: dict
    command: list
    say: object
    summary: Summary = field(default_factory=Summary)

    def step(self, decision: Decision):
        name = decision.step.name
        if decision.action == LEAVE:
            self.decider.enter(decision, *recorded_result(decision))
            return
        self.say(f"-- {name} --")
        if decision.action == RUN:
            if decision.record is not None and self.journal is not None:
                self.say(f"runs again: {decision.why}")
            metadata, identity = self._perform(decision)
            self.summary.ran.append(name)
        else:
            self.say(f"skipped: {decision.why}")
            metadata, identity = recorded_result(decision)
            self.summary.skipped.append(name)
            self.summary.outputs[name] = list(decision.record["outputs"])
        self.summary.metadata[name] = metadata
        self.decider.enter(decision, metadata, identity)

    def _perform(self, decision):
        step, parameters = decision.step, decision.parameters
        lines = None
        if step.function not in self.functions:
            lines = self.decider.lines_for(step)
        record, status = None, "failed"
        with artifacts.collecting() as told, _blaming(step.name):
            require_results(decision)
            function = self._function(decision)
            if self.journal is not None:
                record = start_record(
                    self.plan, step, parameters, lines, decision.refers_to, self.command
                )
                self.journal.write(step.name, record)
            start = time.monotonic()
            try:
                data = () if lines is None else (lines,)
                result = function(copy.deepcopy(parameters), data)
                metadata = decode(encode(result[0] if isinstance(result, tuple) else result))
                seconds = time.monotonic() - start
                status = "done"
            except (KeyboardInterrupt, Terminated):
                status = "interrupted"
                raise
            finally:
                if record is not None and status != "done":
                    self._record_failure(step.name, {**record, "status": status})
            self.summary.outputs[step.name] = told.outputs
            if record is None:
                return metadata, None
            record = finish_record(record, told, metadata, seconds)
            self.journal.write(step.name, record)
        return metadata, record["identity"]

    def _function(self, decision):
        step = decision.step
        if step.function in self.functions:
            return self.functions[step.function]
        problems = check_parameters(self.plan, step, decision.parameters)
        if problems:
            raise ScenarioError(problems)
        return functions.load(step.function)

    def _record_failure(self, name, record):
        """A full disk that stopped the step must not hide its message behind our own."""
        with contextlib.suppress(OSError):
            self.journal.write(name, record)


class _blaming:
    """Turns whatever a step raises into :class:`StepFailed`; scenario errors pass."""

    def __init__(self, step):
        self.step = step

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if not isinstance(error, Exception) or isinstance(error, (ScenarioError, StepFailed)):
            return
        raise StepFailed(self.step, _message(error)) from error


def _message(error) -> str:
    if isinstance(error, OSError) and error.strerror:
        names = [os.fspath(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([*(str(name) for name in names), error.strerror])
    if isinstance(error, USER_ERRORS):
        return str(error)
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text}{_innermost(error)} (--traceback shows all)"


def _innermost(error):
    """`` at FILE:LINE`` of the innermost frame in our own code."""
    ours = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        inside = os.path.relpath(frame.filename, ours)
        if inside.startswith(("mdir" + os.sep, "cirtorch" + os.sep)):
            return f" at {inside}:{frame.lineno}"
    return ""


def closing_lines(summary: Summary, journal: Journal, seconds: float) -> list[str]:
    """Where the results are: a line a step, the journal last."""
    lines = [f"done in {htime(seconds)}: {len(summary.ran)} ran, {len(summary.skipped)} skipped"]
    for step, paths in summary.outputs.items():
        if paths:
            common = os.path.commonpath(paths)
            lines.append(f"    {step}: {_short_path(common)} ({len(paths)} told)")
    return [*lines, f"    journal: {_short_path(journal.folder)}"]


def _short_path(path):
    short = os.path.relpath(path)
    return path if short.startswith("..") else short
