"""Metrics of epochs, which of them is best, and rows as files and checkpoints keep them."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from mdir.learning.events.event_files import EventFiles, thinned
from mdir.learning.events.events import Events
from mdir.learning.events.metrics import Metrics, summary
from mdir.learning.events.open_rows import pack, unpack
from mdir.learning.events.processor import Processor
from mdir.learning.events.progress import Progress

SCORE, LOSS, TIME = "val/learning/score_avg", "val/learning/loss", "val/learning/iteration"


def measured(key, dtype, *values):
    metrics = Metrics()
    for value in values:
        rows = {} if value is None else {key: {"dtype": dtype, "data": {"x": value}}}
        metrics.add_epoch(rows)
    return metrics


@pytest.mark.parametrize(
    ("key", "dtype", "values", "best", "first", "last"),
    [
        (SCORE, "scalar/score", (0.1, 0.5, 0.5, 0.2), 0.5, 1, 2),
        (LOSS, "scalar/loss", (0.3, 0.1, 0.1, 0.2), 0.1, 1, 2),
        (LOSS, "scalar/loss", (None, 0.3, None), 0.3, 1, 1),
        (SCORE, "scalar/score", (math.nan, 0.2, math.nan), 0.2, 1, 1),
    ],
)
def test_the_best_epoch(key, dtype, values, best, first, last):
    metrics = measured(key, dtype, *values)
    assert metrics.best_epoch(f"{key}:x") == {
        "index": first, "metric_avg.3": best, "key": f"{key}:x"
    }  # fmt: skip
    assert metrics.best_epoch(f"{key}:x", last_tie=True)["index"] == last
    assert metrics.best_epoch(f"{key}:y") is None and metrics.best_epoch(None) is None


def test_the_latest_epoch_may_be_the_best():
    name = f"{SCORE}:x"
    assert measured(SCORE, "scalar/score", 0.1, 0.2).is_last_best(name)
    tied = measured(SCORE, "scalar/score", 0.2, 0.1, 0.2)
    assert tied.is_last_best(name) and not tied.is_last_best(name, ties=False)
    assert measured(SCORE, "scalar/score", 0.1, 0.2).is_last_best(name, ties=False)
    assert not measured(SCORE, "scalar/score", 0.2, 0.1).is_last_best(name)
    assert not measured(SCORE, "scalar/score", 0.2, None).is_last_best(name)
    assert not measured(SCORE, "scalar/score", math.nan).is_last_best(name)
    assert measured(SCORE, "scalar/score", 0.2, None).is_last_best("epoch")
    assert not Metrics().is_last_best(name) and not Metrics().is_last_best(None)
    assert Metrics().best_epoch("epoch") is None
    told = measured(SCORE, "scalar/score", 0.2, 0.1).best_epoch("epoch")
    assert told == {"index": 1, "metric_avg.3": 1.0, "key": "epoch"}


def test_metrics_by_full_name():
    metrics, found = Metrics(), []
    for epoch in range(2):
        rows = {
            LOSS: {"dtype": "scalar/loss", "data": {"total": [1.0, 3.0 + epoch]}},
            TIME: {"dtype": "scalar/time", "data": {"step": [1.0, 2.0]}},
            "train/net/params": {"dtype": "weight/param", "data": {"w": [1.0]}},
        }
        if epoch:
            rows[SCORE] = {"dtype": "scalar/score", "data": {"map": 0.5}}
        found.append(metrics.add_epoch(rows))
    loss, time = f"{LOSS}:total_avg.4", next(name for name in found[0] if name.startswith(TIME))
    assert found[0] == {loss: 2.0, time: 3.0} and found[1][f"{SCORE}:map"] == 0.5
    assert metrics.metadata() == {loss: [2.0, 2.5], f"{SCORE}:map": [0.5]}
    names = [loss, time, f"{SCORE}:map"]
    assert metrics.table() == (names, [[2.0, 3.0, None], [2.5, 3.0, 0.5]])


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (3, "loss", 3.0),
        ([1.0, math.nan, 4.0], "loss", 2.5),
        ([1.0, math.nan, 4.0], "score", 2.5),
        ([1.0, math.nan, 4.0], "time", 5.0),
        ([], "time", 0.0),
    ],
)
def test_one_number_for_many(values, kind, expected):
    assert summary(values, kind) == expected
    assert math.isnan(summary([math.nan], "loss"))


def row(iterations, **data):
    moments = {"relative_iteration": iterations, "timestamp": [float(i) for i in iterations]}
    return {"key": LOSS, "dtype": "scalar/loss", "data": data, **moments}


def test_blocks_of_iterations():
    whole = row(list(range(5)), total=[1.0, 3.0, math.nan, 5.0, 7.0])
    assert thinned(whole, most=5) is whole
    found = thinned(whole, most=3)
    assert found["data"]["total"] == [2.0, 5.0, 7.0]
    assert found["relative_iteration"] == [1, 3, 4] and found["timestamp"] == [1.0, 3.0, 4.0]
    weights = {**whole, "dtype": "weight/param"}
    assert thinned(weights, most=1) is weights


def test_rows_of_an_open_epoch_come_back():
    rows = [
        {"key": LOSS, "dtype": "scalar/loss", "relative_iteration": i, "timestamp": 10.5 + i,
         "data": {"total": i / 2, "count": i, "mixed": [i, i / 2][i % 2]}}
        for i in range(3)
    ]  # fmt: skip
    packed = pack(rows)
    assert torch.equal(packed["data"]["count"], torch.tensor([0, 1, 2]))
    assert packed["data"]["total"].dtype == torch.float64 and packed["data"]["mixed"] == [0, 0.5, 2]
    again = unpack(packed)
    assert again == rows
    assert [type(each["data"]["mixed"]) for each in again] == [int, float, int]
    for alone in ([{**rows[0], "relative_iteration": None}], [{**rows[0], "dtype": "blob"}]):
        assert pack(alone) is alone and unpack(alone) is alone


def test_lines_that_are_kept(tmp_path):
    files = EventFiles(tmp_path)
    assert files.keep_epochs(2) == set()
    text = ['{"epoch": null}', '{"epoch": 0}', '{"epoch": 1}', '{"epoch": 2}', "[1]", '{"ep', "7"]
    files.events.write_text("\n".join(text) + "\n")
    assert files.keep_epochs(2) == {None, 0, 1}
    assert files.events.read_text().splitlines() == text[:3]
    assert files.keep_epochs(0) == set() and files.events.read_text() == ""


def test_numbers_as_json_has_them(tmp_path):
    files = EventFiles(tmp_path / "a")
    files.append(3, {"x": {**row([0], total=[math.inf]), "nested": (1 / 3, {"a": -math.nan})}})
    (line,) = files.events.read_text().splitlines()
    found = json.loads(line)
    assert found["epoch"] == 3 and found["data"] == {"total": [None]}
    assert found["nested"] == [0.333333333333, {"a": None}]
    files.write_metrics(["a:b"], [[1.5], [None]])
    assert (tmp_path / "a/metrics.csv").read_bytes().split() == [b"epoch,a:b", b"1,1.5", b"2,"]


def test_pictures_as_they_were(tmp_path):
    files = EventFiles(tmp_path)
    grey = torch.tensor([[0.0, 0.5], [1.5, math.nan]])
    for name, data in (("one", grey), ("two", grey[None])):
        path = files.write_blob(2, None, "a/b", name, {"dtype": "image:gray", "data": data})
        assert path == f"blobs/a_b-{name}-2-null.png"
        assert np.asarray(Image.open(tmp_path / path)).tolist() == [[0, 127], [255, 0]]
    path = files.write_blob(None, None, "a", "text", {"dtype": "text", "data": 5})
    assert path == "blobs/a-text-const.txt" and (tmp_path / path).read_text() == "5"


class Shown(Processor):
    """Keeps what it is told."""

    def __init__(self):
        self.told = []

    def begin(self, epochs):
        self.told.append(("begin", epochs))

    def wants(self, row):
        return False

    def rows(self, epoch, rows):
        self.told.append(("rows", epoch, [row["data"] for row in rows]))

    def result(self, result):
        self.told.append(("result", result))

    def epoch_closed(self, epoch, rows, metrics):
        self.told.append(("closed", epoch, list(rows), metrics))

    def close(self):
        self.told.append(("close",))


def test_what_processors_are_told():
    shown = Shown()
    events = Events([shown])
    events.begin(7)
    for result in (None, "page"):
        events.hand_on(result)
    for iteration in range(201):
        events.register(0, iteration, 201, LOSS, {"x": float(iteration)}, "scalar/loss")
    first = shown.told.pop()
    assert (first[0], first[1], len(first[2])) == ("rows", 0, 200)
    assert shown.told == [("begin", 7), ("result", "page")]
    events.close_epoch()
    events.close()
    metrics = {f"{LOSS}:x_avg.4": 100.0}
    assert shown.told[2:] == [
        ("rows", 0, [{"x": 200.0}]), ("closed", 0, [LOSS], metrics), ("close",)
    ]  # fmt: skip


def test_progress_of_stages_and_results(capsys):
    progress = Progress(None, print_each=2, print_each_val=1, key_suffix="loss:x")
    moment = {"epoch_size": 3, "timestamp": 0.0}
    told = []
    for key in (LOSS, "train/learning/loss", "train/learning/time"):
        rows = [
            {"key": key, "data": {"x": 1.0}, "relative_iteration": i, **moment} for i in range(3)
        ]
        told.append([progress.wants(each) for each in rows])
    assert told == [[True] * 3, [False, True, True], [False] * 3]
    unnamed = {"key": LOSS, "data": {"y": 1.0}, "relative_iteration": 0, **moment}
    assert not progress.wants(unnamed)
    progress.result(type("Result", (), {"summary": "3 clusters"})())
    progress.result("no summary")
    Progress(None, print_each=0).result(type("Result", (), {"summary": "silent"})())
    assert capsys.readouterr().err == "3 clusters\n"
    assert progress.state_dict() == {}
    progress.rows(0, [{"key": LOSS, "data": {"x": 3.0}, "relative_iteration": 0, **moment}])
    state = progress.state_dict()
    assert state == {"stage": (0, "val"), "mean": (3.0, 1)}
    again = Progress(None, key_suffix="loss:x")
    again.load_state_dict({"stage": [0, "val"], "mean": (3.0, 1)})
    again.rows(0, [{"key": LOSS, "data": {"x": 1.0}, "relative_iteration": 1, **moment}])
    assert "Val [01][002/003]: 1.00 (2.00), (0.00 s/b" in capsys.readouterr().err
