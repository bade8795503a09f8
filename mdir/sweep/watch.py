"""Lines that tell how far the cells of a sweep are."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cirtorch.utils.general import htime
from cirtorch.utils.locks import moment_in
from mdir.sweep.cells import Cell
from mdir.sweep.journals import CellJournal, usual_seconds

EVERY_S = 60
_TAIL = 2000  # bytes of a log in which its last line is looked for
_MOST = 80


def cell_lines(
    cells: Sequence[Cell],
    journals: Mapping[str, CellJournal],
    states: Mapping[str, str],
    began: str | None,
) -> list[str]:
    """A line a cell: name, state and, where it runs, step, time left and the log's last line.

    Args:
        journals: those of all cells of the sweep.
        began: when the sweep that looks on began, as locks tell it; None: there is none. Of cells
            that run since before, the process is told.
    """
    known = usual_seconds(journals.values())
    width = max(map(len, journals))
    lines = []
    for cell in cells:
        line = f"{cell.name:<{width}}  {states[cell.name]:<7}"
        if states[cell.name] in ("running", "failed"):
            line += where(journals[cell.name])
        if states[cell.name] == "running":
            line += _times(journals[cell.name], known) + earlier_run(journals[cell.name], began)
            line += _last_line(cell.log)
        elif states[cell.name] == "failed":
            line += f", see {cell.log}"
        lines.append(line.rstrip())
    return lines


class Watch:
    """Tells of cells whose state or step changed and, once a minute, of all that run."""

    def __init__(self, cells: Sequence[Cell], journals: Mapping[str, CellJournal], began: str):
        self.cells, self.journals, self.began = cells, journals, began
        self.told: dict[str, tuple] = {}
        self.last = time.monotonic()

    def tell(self, states: Mapping[str, str]) -> None:
        """Print a line for each cell of which there is something to tell."""
        is_due = time.monotonic() - self.last > EVERY_S
        self.last = time.monotonic() if is_due else self.last
        changed = []
        for cell in self.cells:
            state = states.get(cell.name, "waiting")
            running = state == "running"
            seen = state, self.journals[cell.name].position() if running else None
            if seen != self.told.get(cell.name, ("waiting", None)) or (is_due and running):
                changed.append(cell)
            self.told[cell.name] = seen
        if changed:
            lines = cell_lines(changed, self.journals, states, self.began)
            print("\n".join(lines), flush=True)


def where(journal: CellJournal) -> str:
    """The step of a cell, and which of how many that is."""
    position = journal.position()
    return (
        f"  step {position[1]} ({position[0]} of {len(journal.names)})" if position else "  begins"
    )


def earlier_run(journal: CellJournal, began: str | None) -> str:
    """Which process performs a cell, where that is none of the sweep that looks on."""
    holder = journal.holder()
    if holder is None or (began is not None and moment_in(holder) >= began):
        return ""
    return f", begun before this sweep ({holder})" if began else f", without a sweep ({holder})"


def _times(journal, known):
    left = journal.seconds_left(known)
    return "" if left is None else f", about {htime(left)} left"


def _last_line(log: Path):
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.path.getsize(log) - _TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return f" | {lines[-1][:_MOST]}" if lines else ""
