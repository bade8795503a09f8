"""When a state in the middle of an epoch is due, and how seldom that is looked at."""

import time

import pytest

from cirtorch.utils.errors import DamagedFile
from mdir.learning.checkpoints.within import Position, WithinEpoch


class Clock:
    """Seconds that pass by as told; ``looks`` are the moments at which somebody asked."""

    def __init__(self, monkeypatch):
        self.now, self.looks = 1000.0, []
        monkeypatch.setattr(time, "monotonic", self.ask)

    def ask(self):
        self.looks.append(self.now - 1000)
        return self.now

    def steps(self, within, seconds, count):
        """The steps after which it was due, and those at which it was looked at the clock."""
        self.looks.clear()
        begin, due, looked = self.now, [], []
        for step in range(1, count + 1):
            self.now = begin + step * seconds
            before = len(self.looks)
            if within.is_due():
                due.append(step)
                break
            if len(self.looks) > before:
                looked.append(step)
        return due, looked


def test_a_steady_pace_is_foreseen(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    within = WithinEpoch(tmp_path, 1)
    due, looked = clock.steps(within, 1, 100)
    assert due == [60]
    assert looked == [1, 2, 4, 8, 16, 32, 46, 53, 56, 58, 59]
    within.restart()
    due, looked = clock.steps(within, 10, 100)
    assert due == [6]
    assert looked == [1, 2, 4, 5]


def test_a_pace_that_drops_is_noticed(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    within = WithinEpoch(tmp_path, 0.5)
    assert clock.steps(within, 1e-9, 4) == ([], [1, 2, 4])
    assert clock.steps(within, 20, 9) == ([4], [])  # the eighth step, in time for the doubled ones


def test_each_step_and_never(tmp_path):
    within = WithinEpoch(tmp_path, 0)
    assert [within.is_due() for _ in range(3)] == [True, True, True]
    within = WithinEpoch(tmp_path, None)
    assert [within.is_due() for _ in range(3)] == [False, False, False]


def test_a_state_is_kept_until_it_is_removed(tmp_path):
    within = WithinEpoch(tmp_path, 1)
    assert within.load(["a"]) is None
    logged = {"rows": {}, "processors": {}}
    within_epoch = {"seed": 5, "iteration": 2, "events": logged}
    state = {"epoch": 1, "networks": {}, "learning": {}, "within": within_epoch}
    within.save(state)
    assert [path.name for path in tmp_path.iterdir()] == ["midepoch.pth"]
    assert within.load(reversed(state)) == state
    with pytest.raises(DamagedFile) as caught:
        within.load(["epoch", "networks", "learning"])
    assert str(caught.value) == f"{tmp_path}/midepoch.pth: not the state of a run in an epoch"
    within.remove()
    within.remove()
    assert list(tmp_path.iterdir()) == []
    assert vars(Position(5)) == {"seed": 5, "iteration": 0}
