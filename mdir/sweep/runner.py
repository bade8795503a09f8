"""What runs the cells of a sweep: processes of this machine, or a cluster."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from mdir.sweep.cells import Cell
from mdir.sweep.resources import Resources

State = Literal["waiting", "running", "done", "failed"]


class Runner(Protocol):
    """Runs the commands of cells; one runner for one call of ``mdir sweep``.

    Every command is that of an ordinary run: started again it goes on, and where an earlier one
    still performs the cell it waits for that.
    """

    def start(self, cells: Sequence[Cell], resources: Resources, folder: Path) -> None:
        """Take over cells that are to run, in this order; returns at once.

        What a cell prints is appended to its ``log``. What the runner keeps for itself lies in a
        folder of its own in ``folder``, that of the sweep.

        Raises:
            UserError: they cannot run here, in words.
        """

    def states(self) -> dict[str, State]:
        """How far every cell is that was taken over, by its name; called again and again."""

    def stop(self) -> None:
        """End the cells that still run or wait, only those taken over; returns when they are."""
