"""Steps that cells of a sweep have in common: one cell makes them, the others take them over."""

import json
import os
from collections.abc import Callable
from contextlib import contextmanager, suppress

from cirtorch.utils.general import get_root
from cirtorch.utils.locks import held
from mdir.records import write_record
from mdir.scenario.decisions import RUN, SKIP, Decider, Decision
from mdir.scenario.journal import digest, is_sound, why_again

FOLDER = os.path.join("sweeps", "steps")


class SharedSteps:
    """The steps that cells made, by a digest of function, parameters and what they refer to."""

    def __init__(self, decider: Decider, say: Callable[[str], None]):
        self.decider, self.say = decider, say
        self.folder = os.path.join(get_root(), FOLDER)

    @contextmanager
    def turn(self, decision: Decision):
        """Yield what is to happen to a step that no other cell makes in the meantime.

        A step that another cell has made of the same inputs is entered into this cell's journal,
        so that it is skipped; what the block makes is left to the others.
        """
        if decision.action != RUN or decision.waiting:
            yield decision
            return
        step, journal = decision.step, self.decider.journal
        lines = self.decider.lines_for(step)
        key = digest([step.function, decision.parameters, lines, decision.refers_to])
        path = os.path.join(self.folder, key)

        def wait(holder):
            self.say(f"-- {step.name} --\nwaits for another cell that makes the same ({holder})")

        with held(f"{path}.lock", wait):
            made = None if step.entry.always else self._made(f"{path}.json", decision, lines)
            if made is not None:
                journal.write(step.name, made["record"])
                decision = self.decider.decide(step)
                decision.why = f"made in cell {made['cell']}, {decision.why}"
            yield decision
            record = None if decision.action == SKIP else journal.read(step.name)
            if record is not None and record["status"] == "done" and not step.entry.always:
                cell = self.decider.plan.scenario.cell
                write_record(f"{path}.json", {"cell": cell, "record": record})

    def _made(self, path, decision, lines):
        """What another cell left of the step, if it still holds."""
        with suppress(OSError, ValueError, RecursionError), open(path, encoding="utf-8") as file:
            made = json.load(file)
            if not (isinstance(made, dict) and is_sound(made.get("record")) and "cell" in made):
                return None
            step, parameters = decision.step, decision.parameters
            again = why_again(made["record"], step.function, parameters, lines, decision.refers_to)
            return made if again is None else None
        return None
