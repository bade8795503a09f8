"""What cells at the same time are given of a machine."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from mdir.errors import UserError
from mdir.sweep import local
from mdir.sweep.cells import Cell
from mdir.sweep.local import cards, deal, threads
from mdir.sweep.resources import Resources

DEALT = {
    (0, None, None): [None],
    (0, 0, 3): [None] * 3,
    (4, None, None): [("0",), ("1",), ("2",), ("3",)],
    (4, 2, None): [("0", "1"), ("2", "3")],
    (3, 2, None): [("0", "1")],
    (4, None, 2): [("0",), ("1",)],
    (2, None, 3): [("0",), ("1",), ("0",)],
    (3, 2, 2): [("0", "1"), ("2", "0")],
    (2, 0, 3): [()] * 3,
}


@pytest.mark.parametrize("given", DEALT, ids=str)
def test_cards_are_dealt_in_turn(given):
    count, each, jobs = given
    assert deal([str(number) for number in range(count)], each, jobs) == DEALT[given]


def test_more_cards_than_there_are():
    with pytest.raises(UserError, match="is to get 3 graphics cards .* but there are 2 here"):
        deal(["0", "1"], 3, None)


@pytest.mark.parametrize(
    ("visible", "found"),
    [("", []), ("2, 5", ["2", "5"]), (None, ["0", "1"]), ("GPU-8a", ["GPU-8a"])],
)
def test_cards_are_those_that_are_visible(monkeypatch, tmp_path, visible, found):
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(local, "CARDS", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert cards() == found
    monkeypatch.setattr(local, "CARDS", str(tmp_path / "absent"))
    assert cards() == ([] if visible is None else found)


def test_a_cell_that_begins_while_an_interrupt_comes_is_ended(monkeypatch, tmp_path):
    begun = []

    def begin_interrupted(*given, **options):
        begun.append(subprocess.Popen(*given, **options))
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)  # where the interpreter looks for signals
        return begun[0]

    monkeypatch.setattr(local, "subprocess", SimpleNamespace(**vars(subprocess)))
    monkeypatch.setattr(local.subprocess, "Popen", begin_interrupted)
    runner = local.LocalRunner(1)
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    runner.start([Cell("a", {}, [], command, tmp_path / "log")], Resources(), tmp_path)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            runner.states()
    finally:
        signal.signal(signal.SIGINT, before)
    runner.stop()
    assert begun[0].poll() == -signal.SIGTERM


def test_processors_are_divided(monkeypatch):
    monkeypatch.setattr(local, "usable_cores", lambda: 8)
    assert threads(3, None) == {}  # the tests set it
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads(1, None) == {}
    assert threads(3, None) == {"OMP_NUM_THREADS": "2"}
    assert threads(20, None) == {"OMP_NUM_THREADS": "1"}
    assert threads(1, 6) == {"OMP_NUM_THREADS": "6"}
