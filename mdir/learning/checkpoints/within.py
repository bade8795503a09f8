"""The state of a run in the middle of an epoch: one file, until the next checkpoint is whole."""

import time
from dataclasses import dataclass
from pathlib import Path

from cirtorch.utils.errors import DamagedFile
from cirtorch.utils.weight_files import load_weights, save_weights
from mdir import distributed
from mdir.learning.checkpoints.soundness import require_within


@dataclass(frozen=True)
class Position:
    """Where an epoch is: ``iteration`` steps are done of those that a loader of ``seed`` gives."""

    seed: int
    iteration: int = 0


class WithinEpoch:
    """``midepoch.pth`` in a folder of checkpoints, and when it is due.

    Args:
        folder: of the checkpoints.
        every_minutes: how often; 0: after every step; None: never.
    """

    def __init__(self, folder: Path, every_minutes: float | None):
        self.path = folder / "midepoch.pth"
        self.every_minutes = every_minutes
        self.restart()

    def restart(self) -> None:
        """Count the time from now on: everything so far is kept."""
        self._begin, self._steps, self._look_at = time.monotonic(), 0, 1

    def is_due(self) -> bool:
        """Whether it is time; asked after every step, of several processes by all of them."""
        if self.every_minutes is None:
            return False
        self._steps += 1
        if self._steps < self._look_at:
            return False
        due, self._look_at = distributed.from_first(self._look(60 * self.every_minutes))
        return due

    def _look(self, seconds):
        """Whether it is time, and the step at which to look again.

        Processes have to agree on both. That costs an exchange, so they look when half of the time
        will have passed, at the pace so far, and after twice as many steps at the latest.
        """
        passed = time.monotonic() - self._begin
        left = seconds - passed
        if left <= 0:
            return True, 0
        steps = int(left / max(passed, 1e-6) * self._steps / 2)
        return False, self._steps + max(1, min(steps, self._steps))

    def save(self, state: dict) -> None:
        """Replace the file."""
        save_weights(state, self.path)

    def load(self, keys) -> dict | None:
        """What it holds; None without a file.

        Raises:
            DamagedFile: it is damaged, or holds other keys.
        """
        if not self.path.exists():
            return None
        state = load_weights(self.path)
        if not isinstance(state, dict) or set(state) != set(keys):
            raise DamagedFile(f"{self.path}: not the state of a run in an epoch")
        require_within(state, self.path)
        return state

    def remove(self) -> None:
        """Forget it: a checkpoint is newer."""
        self.path.unlink(missing_ok=True)
