"""Steps that cells of a sweep have in common: one makes them, the others take them over."""

import os
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path

from cirtorch.utils.errors import DamagedFile
from cirtorch.utils.general import get_root
from cirtorch.utils.locks import held
from mdir.records import read_record, write_record
from mdir.scenario.decisions import RUN, SKIP, Decider, Decision
from mdir.scenario.journal import Journal, digest, encode

FOLDER = os.path.join("sweeps", "steps")


class SharedSteps:
    """Which cell began a step last, by a digest of function, parameters and what it refers to."""

    def __init__(self, decider: Decider, journal: Journal, say: Callable[[str], None]):
        self.decider, self.journal, self.say = decider, journal, say
        self.folder = os.path.join(get_root(), FOLDER)

    @contextmanager
    def turn(self, decision: Decision):
        """Yield what is to happen to a step that no other cell makes in the meantime.

        The record of the cell that began it last becomes this cell's: what that one finished is
        skipped, what it left unfinished goes on.
        """
        if decision.action != RUN or decision.waiting:
            yield decision
            return
        step = decision.step
        lines = self.decider.lines_for(step)
        key = digest([step.function, decision.parameters, lines, decision.refers_to])
        path = Path(self.folder, key)

        def wait(holder):
            self.say(f"-- {step.name} --\nwaits for another cell that makes the same ({holder})")

        with held(path.with_suffix(".lock"), wait):
            if not step.entry.always:
                decision = self._taken_over(path.with_suffix(".json"), decision)
            yield decision

    def _taken_over(self, path, decision):
        step, journal, own = decision.step, self.journal, self.decider.plan.scenario.cell
        begun: dict[str, str] = {}
        with suppress(DamagedFile):
            begun = read_record(path, lambda value: isinstance(value, str), "")
        cell = begun.get("cell", own)
        record = None if cell == own else journal.read_file(begun.get("record", ""))
        if record is not None and _is_of(record, decision):
            journal.write(step.name, record)
            decision = self.decider.decide(step)
            word = "made" if decision.action == SKIP else "begun"
            decision.why = f"{word} in cell {cell}, {decision.why}"
        if decision.action != SKIP:
            write_record(path, {"cell": own, "record": journal.path(step.name)})
        return decision


def _is_of(record, decision):
    """Whether a record is of the very step; its inputs and outputs may have changed since."""
    given = (decision.step.function, encode(decision.parameters), decision.refers_to)
    return (record["function"], record["parameters"], record["refers_to"]) == given
