"""Which steps of a plan run, which are skipped, and why."""

from dataclasses import dataclass, field

import mdir
from cirtorch.utils.fingerprints import meets
from mdir.errors import UserError
from mdir.scenario.journal import Journal, changed_inputs, decode, encode, why_again
from mdir.scenario.plan import Plan, Step
from mdir.scenario.tree import ScenarioError
from mdir.scenario.variables import Pending, Resolver

RUN, SKIP, LEAVE = "run", "skip", "leave"
ALWAYS = "it always runs"


@dataclass
class Choice:
    """What the command line asks for: ``start`` is --from, ``lines`` those of standard input."""

    force: bool = False
    start: str | None = None
    only: str | None = None
    lines: list[str] | None = None


@dataclass
class Decision:
    """What happens to a step, and why.

    ``waiting`` names steps whose results it needs first, ``made`` files that it made in earlier
    runs, ``changed`` the inputs that have since it last ended well.
    """

    step: Step
    action: str
    why: str
    parameters: dict
    refers_to: dict
    record: dict | None = None
    waiting: set = field(default_factory=set)
    made: list = field(default_factory=list)
    changed: list = field(default_factory=list)

    @property
    def recorded_outputs(self) -> list[str]:
        """The files that the step's last run made."""
        return list((self.record or {}).get("outputs", ()))


class Decider:
    """Goes through the steps of a plan in order; results are entered as they come.

    Without a journal every step runs.
    """

    def __init__(self, plan: Plan, journal: Journal | None = None, choice: Choice | None = None):
        self.plan, self.journal = plan, journal
        self.choice = choice or Choice()
        self.context = plan.context()
        self.identities: dict[str, str | None] = {}
        self.changing: dict[str, list[str]] = {}

    def decide(self, step: Step) -> Decision:
        """Resolve a step's parameters and compare them with the journal.

        Raises:
            ScenarioError: a variable has no value.
        """
        self.context.add(step.name, step.function, step.parameters)
        resolver = Resolver(self.context)
        parameters = resolver.resolve(step.parameters)
        if resolver.problems:
            raise ScenarioError(self.plan.locate(step, resolver.problems))
        names = sorted(resolver.steps - {step.name})
        refers_to = {name: self.identities.get(name) for name in names}
        record = self.journal.read(step.name) if self.journal else None
        action, why = self._choose_action(step, parameters, refers_to, resolver.waiting, record)
        decision = Decision(step, action, why, parameters, refers_to, record, resolver.waiting)
        if action == RUN and record is not None:
            decision.made = record.get("made", [])
            decision.changed = changed_inputs(record)
        return decision

    def enter(self, decision: Decision, metadata, identity: str | None) -> None:
        """Let later steps see a step's parameters and results."""
        self.context.finish(decision.step.name, decision.parameters, metadata)
        self.identities[decision.step.name] = identity

    def decide_all(self) -> list[Decision]:
        """Decide every step before any runs; results that are yet to come stay variables."""
        decisions = []
        for step in self.plan.steps:
            decision = self.decide(step)
            if decision.action == RUN:
                self.changing[step.name] = decision.recorded_outputs
                self.enter(decision, Pending(step.name), None)
            else:
                self.enter(decision, *recorded_result(decision))
            decisions.append(decision)
        return decisions

    def lines_for(self, step: Step) -> list[str] | None:
        """The lines of standard input where the step reads them."""
        return self.choice.lines if step.entry.reads_stdin(step.parameters) else None

    def _choose_action(self, step, parameters, refers_to, waiting, record):
        choice = self.choice
        if choice.only is not None and step.name != choice.only:
            return LEAVE, "--only names another step"
        if choice.start is not None and step.name < choice.start:
            return LEAVE, "it comes before --from"
        if self.journal is None or choice.force:
            return RUN, "--force"
        if choice.only is not None or choice.start is not None:
            return RUN, "--only" if choice.only is not None else "--from"
        if record is None:
            return RUN, "it has not run yet"
        if step.entry.always:
            return RUN, ALWAYS
        awaited = waiting or [name for name in refers_to if name in self.changing]
        awaited = awaited or self._awaited_inputs(record)
        if awaited:
            return RUN, f"if the result of {', '.join(sorted(awaited))} changes"
        lines = self.lines_for(step)
        why = why_again(record, step.function, parameters, lines, refers_to)
        return (RUN, why) if why else (SKIP, f"unchanged since {record['ended']}")

    def _awaited_inputs(self, record):
        """Steps about to run that once wrote what this step read."""
        inputs = record.get("inputs", {}).items()
        return [
            name
            for name, outputs in self.changing.items()
            if any(meets(path, recorded, set(outputs)) for path, recorded in inputs)
        ][:1]


def recorded_result(decision: Decision) -> tuple:
    """Metadata and identity of a step that does not run now, from its record."""
    record = decision.record
    if record is None or record["status"] != "done":
        return Pending(decision.step.name), None
    return decode(record["metadata"]), record["identity"]


def was_checked(decision: Decision) -> bool:
    """Whether this version has accepted these very parameters before, so that no check is due."""
    record = decision.record
    return (
        record is not None
        and record["status"] == "done"
        and not decision.waiting
        and record["function"] == decision.step.function
        and record["versions"].get("mdir") == mdir.__version__
        and encode(decision.parameters) == record["parameters"]
    )


def require_results(decision: Decision) -> None:
    """Refuse to run a step that needs the results of steps left out and never finished."""
    if decision.waiting:
        names = ", ".join(sorted(decision.waiting))
        raise UserError(f"it needs the results of {names}, which must run first")
