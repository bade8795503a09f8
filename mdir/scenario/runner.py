"""Performs a plan: one step after the other, under the journal."""

import contextlib
import copy
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile

from cirtorch.utils.general import htime
from mdir import artifacts
from mdir.scenario import step_table
from mdir.scenario.decisions import (
    ALWAYS,
    LEAVE,
    SKIP,
    Choice,
    Decider,
    Decision,
    recorded_result,
    require_results,
)
from mdir.scenario.failures import Terminated, as_step_failure
from mdir.scenario.journal import (
    Journal,
    decode,
    encode,
    finish_record,
    start_record,
)
from mdir.scenario.plan import Plan, check_parameters
from mdir.scenario.processes import Processes
from mdir.scenario.shared import SharedSteps
from mdir.scenario.tree import refuse


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
    command: Sequence[str] = (),
    say: Callable[[str], None] = print,
    processes: Processes | None = None,
) -> Summary:
    """Run the steps of a plan, skipping those that the journal shows to be up to date.

    Args:
        plan: of :func:`mdir.scenario.plan.plan_target`.
        functions: ``{name: (params, data) -> (metadata, ...)}`` in place of the real ones.
        journal: where to record; without one every step runs and nothing is kept.
        choice: what to run although it is up to date, or to leave out.
        command: the command line, for the journal.
        say: called with lines for the person who looks on.
        processes: those of this launch, already met; by default this one alone.

    Raises:
        ScenarioError: a variable has no value, or a parameter known only now is bad.
        StepFailed: a step raised; what ran before it stays usable.
    """
    decider = Decider(plan, journal, choice)
    run = _Run(decider, journal, functions or {}, list(command), say, processes)
    shared = None
    if journal is not None and plan.scenario.cell is not None and run.is_first:
        shared = SharedSteps(decider, journal, say)
    for step in plan.steps:
        decision = decider.decide(step)
        with shared.turn(decision) if shared else contextlib.nullcontext(decision) as decision:
            run.step(decision)
    return run.summary


@dataclass
class _Run:
    decider: Decider
    journal: Journal | None
    functions: dict
    command: list
    say: Callable[[str], None]
    processes: Processes | None = None
    summary: Summary = field(default_factory=Summary)

    def step(self, decision: Decision):
        name = decision.step.name
        agreed = [decision.action, decision.why, decision.made, decision.changed]
        agreed = self._broadcast(f"{name}.decision", agreed)
        action, why, decision.made, decision.changed = agreed
        # the first process may have taken it over from another cell
        if self.journal and action == SKIP != decision.action:
            decision.record = self.journal.read(name)
        if action == LEAVE:
            self.decider.enter(decision, *recorded_result(decision))
            return
        self.say(f"-- {name} --")
        if action == SKIP:
            self.say(f"skipped: {why}")
            if self.journal and self.is_first and decision.record:
                self.journal.refresh(name, decision.record)
            metadata, identity = recorded_result(decision)
            self.summary.skipped.append(name)
            self.summary.outputs[name] = decision.recorded_outputs
        else:
            if decision.record is not None and why != ALWAYS:
                self.say(f"runs again: {why}")
            metadata, identity = self._run(decision)
            self.summary.ran.append(name)
        self.summary.metadata[name] = metadata
        self.decider.enter(decision, metadata, identity)

    def _run(self, decision):
        step, result = decision.step, [None, None]
        with as_step_failure(step.name):
            if self.is_first or step.entry.divided:
                require_results(decision)
                result = self._recorded(decision)
            metadata, identity = self._broadcast(f"{step.name}.result", result)
        return decode(metadata), identity

    def _recorded(self, decision):
        """Call a step's function under the journal; its encoded metadata and identity."""
        step, journal = decision.step, self.journal if self.is_first else None
        function, data, lines = self._function(decision)
        record: dict = {}
        status = "failed"
        if journal is not None:
            record = start_record(self.decider.plan, decision, lines, self.command)
            journal.write(step.name, record)

        def keep(told):
            if journal is not None:
                made = sorted({*told.made, *told.outputs})
                record.update(inputs=told.fingerprints(), moved=[], made=made)
                journal.write(step.name, record)

        try:
            before = partial(self._records_before, step.name)
            with artifacts.collecting(decision.made, decision.changed, keep, before) as told:
                start = time.monotonic()
                result = function(copy.deepcopy(decision.parameters), data)
                seconds = time.monotonic() - start
            metadata = encode(result[0] if isinstance(result, tuple) else result)
            status = "done"
        except (KeyboardInterrupt, Terminated):
            status = "interrupted"
            raise
        finally:
            if journal is not None and status != "done":
                # a full disk that stopped the step must not hide its message behind ours
                with contextlib.suppress(OSError):
                    made = sorted({*record["made"], *told.outputs})
                    journal.write(step.name, {**record, "status": status, "made": made})
        self.summary.outputs[step.name] = told.outputs
        if journal is None:
            return [metadata, None]
        record = finish_record(record, told, metadata, seconds)
        journal.write(step.name, record)
        for moved in record["moved"][:1]:
            print(
                f"warning: {step.name}: input {moved}, while the step ran; nobody knows which "
                "content it read, so the next run does it again",
                file=sys.stderr,
            )
        return [metadata, record["identity"]]

    def _records_before(self, name):
        """What the journal knows of the steps before one, parameters decoded."""
        if self.journal is None:
            return []
        steps = takewhile(lambda step: step.name != name, self.decider.plan.steps)
        records = filter(None, (self.journal.read(step.name) for step in steps))
        return [record | {"parameters": decode(record["parameters"])} for record in records]

    def _function(self, decision):
        """What to call, its data, and the lines of standard input that are in them."""
        step = decision.step
        if step.function in self.functions:
            return self.functions[step.function], (), None
        refuse(check_parameters(self.decider.plan, step, decision.parameters))
        lines = self.decider.lines_for(step)
        data = () if lines is None else (lines,)
        function = step_table.load(step.function)
        return getattr(function, "perform", function), data, lines

    @property
    def is_first(self):
        return self.processes is None or self.processes.is_first

    def _broadcast(self, name, value):
        return value if self.processes is None else self.processes.broadcast(name, value)


def closing_lines(summary: Summary, journal: Journal, seconds: float) -> list[str]:
    """Where the results are: a line a step, the journal, and what steps tell as ``warning``."""
    lines = [f"done in {htime(seconds)}: {len(summary.ran)} ran, {len(summary.skipped)} skipped"]
    for step, paths in summary.outputs.items():
        if paths:
            lines.append(f"    {step}: {_short_path(os.path.commonpath(paths))}")
    lines.append(f"    journal: {_short_path(journal.folder)}")
    told = [step.get("warning") for step in summary.metadata.values() if isinstance(step, dict)]
    return [*lines, *(f"warning: {warning}" for warning in dict.fromkeys(filter(None, told)))]


def _short_path(path):
    short = os.path.relpath(path)
    return path if short.startswith("..") else short
