"""What the terminal tells of a run while it goes on."""

import re
from types import SimpleNamespace

from mdir.learning.events.events import Events
from mdir.learning.events.progress import Progress
from tests.learning.events.test_events import LOSS, one_epoch


def test_progress_prints_plain_lines_off_a_terminal(capsys):
    events = Events([Progress(None, print_each=2, print_each_val=0)])
    events.register(0, 0, 1, "val/learning/loss", {"total": 7.0}, "scalar/loss")
    one_epoch(events, 0, [1.0, 2.0, 6.0])
    first, last = capsys.readouterr().err.splitlines()
    assert re.match(r"Train \[01\]\[002/003\]: 2\.00 \(1\.50\), \(\d+\.\d\d s/b", first)
    assert "left" in first
    assert re.match(r"Train \[01\]\[003/003\]: 6\.00 \(3\.00\), \(\d+\.\d\d s/b\)", last)
    one_epoch(events, 1, [1.0, 2.0])
    assert "0 m/e" in capsys.readouterr().err
    silent = Events([Progress(None, print_each=None)])
    one_epoch(silent, 0, [1.0])
    assert capsys.readouterr().err == ""


def test_progress_tells_what_is_left_of_the_epoch_and_of_the_run(capsys):
    progress = Progress(None)
    progress.begin(3)
    # iterations of 10 s, and validations of 100 s between the epochs
    for epoch, start in enumerate((0, 140, 280)):
        for iteration in range(4):
            row = {"relative_iteration": iteration, "epoch_size": 4, "data": {"total": 1.0}}
            moment = {"key": "train/learning/loss", "timestamp": start + 10 * iteration}
            progress.rows(epoch, [{**row, **moment}])
    lines = capsys.readouterr().err.splitlines()
    paces = [re.search(r"([\d.]+) s/b", line)[1] for line in lines]
    assert paces == ["0.00", "10.00", "10.00", "10.00"] * 3
    told = [line.rpartition("s/b")[2] for line in lines]
    assert told[2] == ", 0:10 left of the epoch, 1:30 of the run)"
    assert told[6] == ", 2 m/e, 0:10 left of the epoch, 2:30 of the run)"
    assert told[7] == ", 2 m/e, 0:00 left of the epoch, 2:20 of the run)"
    assert told[10:] == [", 2 m/e, 0:10 left of the epoch)", ", 2 m/e)"]


def test_progress_shows_a_row_without_iterations(capsys):
    events = Events([Progress(None, key_suffix="score_avg:map")])
    one_epoch(events, 0, [1.0], 0.25)
    assert capsys.readouterr().err == "Val [01]: 0.25\n"


def test_progress_is_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    one_epoch(Events([Progress(None, print_each=100)]), 0, [1.0, 2.0, 6.0])
    shown = capsys.readouterr().err
    assert "Train [01]" in shown
    assert "3/3" in shown
    assert "6.00 (3.00)" in shown


def test_progress_of_stages_and_what_a_method_has_finished(capsys):
    progress = Progress(None, print_each=4, print_each_val=2)
    assert not progress.wants({"key": "train/learning/iteration", "data": {"total": 1.0}})
    row = {"key": LOSS, "data": {"total": 1.0}, "epoch_size": 7, "relative_iteration": None}
    assert progress.wants(row)
    due = [i for i in range(7) if progress.wants({**row, "relative_iteration": i})]
    val = {**row, "key": "val/learning/loss"}
    assert due == [3, 6]
    assert [i for i in range(7) if progress.wants({**val, "relative_iteration": i})] == [1, 3, 5, 6]
    assert progress.state_dict() == {}
    for iteration, total in enumerate((1.0, 3.0)):
        moment = {"relative_iteration": iteration, "timestamp": 0.0, "data": {"total": total}}
        progress.rows(2, [{**row, **moment}])
    state = progress.state_dict()
    assert state == {"stage": (2, "train"), "mean": (4.0, 2)}
    again = Progress(None, print_each=3)
    again.load_state_dict({"stage": [2, "train"], "mean": (4.0, 2)})
    moment = {"relative_iteration": 2, "timestamp": 5.0, "data": {"total": 5.0}}
    again.rows(2, [{**row, **moment}])
    again.result(SimpleNamespace(summary="3 clusters"))
    again.result(SimpleNamespace(summary=""))
    again.result(object())
    Progress(None, print_each=0).result(SimpleNamespace(summary="silent"))
    assert capsys.readouterr().err == (
        "Train [03][003/007]: 5.00 (3.00), (0.00 s/b, 0:00 left of the epoch)\n3 clusters\n"
    )
    again.close()
    assert again.state_dict() == {}


def test_the_bar_of_progress(monkeypatch):
    bars = []

    class Bar(SimpleNamespace):
        def __init__(self, **given):
            super().__init__(given=given, told=[])
            bars.append(self)

        def set_postfix_str(self, text, refresh):
            self.told.append((text, bool(refresh)))

        def update(self, count):
            self.told.append(count)

        def close(self):
            self.told.append("closed")

    monkeypatch.setattr("mdir.learning.events.progress.tqdm", Bar)
    monkeypatch.setattr("mdir.learning.events.progress.on_terminal", lambda: True)
    clock = [100.0]
    monkeypatch.setattr("mdir.learning.events.progress.time.time", lambda: clock[0])
    progress = Progress(None, print_each=100)
    row = {"key": LOSS, "epoch_size": 9, "timestamp": 100.0}
    for iteration, total in ((4, 1.0), (5, 3.0)):
        progress.rows(1, [{**row, "relative_iteration": iteration, "data": {"total": total}}])
    following = {**row, "relative_iteration": 6, "data": {"total": 1.0}}
    assert not progress.wants(following)
    clock[0] += 0.3
    assert progress.wants(following)
    progress.rows(2, [{**following, "relative_iteration": 0}])
    progress.close()
    told = [("1.00 (1.00)", False), 1, ("3.00 (2.00)", False), 1, "closed"]
    bar = {"total": 9, "leave": True, "unit": "b"}
    assert [(each.given, each.told) for each in bars] == [
        ({**bar, "initial": 4, "desc": "Train [02]"}, told),
        ({**bar, "initial": 0, "desc": "Train [03]"}, [("1.00 (1.00)", False), 1, "closed"]),
    ]
