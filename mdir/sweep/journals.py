"""How far a cell is, as its journal tells."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from cirtorch.utils.locks import holder_of
from mdir.scenario.decisions import ALWAYS, RUN, Decider
from mdir.scenario.journal import Journal
from mdir.scenario.plan import Plan
from mdir.scenario.tree import ScenarioError

KEPT = ("status", "seconds", "started", "metadata", "outputs", "identity", "machine", "commit")


@dataclass
class CellJournal:
    """The records of one cell, read again where they changed.

    ``step`` is the one that runs or failed last, ``at`` its number from 1.
    """

    plan: Plan
    _read: dict[str, tuple] = field(default_factory=dict)

    def __post_init__(self):
        self.journal = Journal(self.plan.scenario.journal_name, self.plan.target)
        self.names = [step.name for step in self.plan.steps]

    def records(self) -> dict[str, dict]:
        """What of the records of all steps concerns a sweep, by step."""
        found = {}
        for name in self.names:
            try:
                stat = os.stat(self.journal.path(name))
            except OSError:
                continue
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if self._read.get(name, (None,))[0] != stamp:
                record = self.journal.read(name) or {}
                self._read[name] = stamp, {key: record.get(key) for key in KEPT}
            found[name] = self._read[name][1]
        return found

    def holder(self) -> str | None:
        """The process that performs the cell, whoever started it; None: none does."""
        return holder_of(self.journal.lock)

    def is_running(self) -> bool:
        """Whether a process performs the cell."""
        return self.holder() is not None

    def is_done(self) -> bool:
        """Whether another run would do nothing but the steps that always run."""
        try:
            decisions = Decider(self.plan, self.journal).decide_all()
        except ScenarioError:
            return False
        records = self.records()
        return all(
            each.action != RUN
            or (each.why == ALWAYS and records.get(each.step.name, {}).get("status") == "done")
            for each in decisions
        )

    def has_failed(self) -> bool:
        """Whether the last run ended at a step that failed."""
        return any(record["status"] == "failed" for record in self.records().values())

    def position(self) -> tuple[int, str] | None:
        """Number and name of the step that runs now, or ran last; None: none began."""
        records = self.records()
        begun = [name for name, each in records.items() if each["status"] not in (None, "done")]
        names = begun or list(records)
        return (
            (self.names.index(names[0 if begun else -1]) + 1, names[0 if begun else -1])
            if names
            else None
        )

    def seconds_left(self, known: dict[str, float]) -> float | None:
        """Until the end, by what the steps took elsewhere; None where that is not known."""
        left = 0.0
        records = self.records()
        for name in self.names:
            record = records.get(name, {})
            if record.get("status") == "done":
                continue
            if name not in known:
                return None
            begun = record.get("started") if record.get("status") == "running" else None
            left += max(0.0, known[name] - (_since(begun) if begun else 0))
        return left


def usual_seconds(journals: Iterable[CellJournal]) -> dict[str, float]:
    """The mean time of every step over the cells that have finished it."""
    times: dict[str, list[float]] = {}
    for journal in journals:
        for name, record in journal.records().items():
            if record["status"] == "done" and record["seconds"] is not None:
                times.setdefault(name, []).append(record["seconds"])
    return {name: sum(each) / len(each) for name, each in times.items()}


def _since(moment):
    try:
        return (datetime.now().astimezone() - datetime.fromisoformat(moment)).total_seconds()
    except (TypeError, ValueError):
        return 0.0
