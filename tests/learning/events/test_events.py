"""Rows, metrics, files beside the checkpoint, TensorBoard."""

import csv
import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from mdir.learning.events import event_files
from mdir.learning.events.event_files import EventFiles
from mdir.learning.events.events import Events, histogram
from mdir.learning.events.html_report import HtmlReport
from mdir.learning.events.processor import Processor
from mdir.learning.events.tensorboard import TensorBoard

LOSS, SCORE = "train/learning/loss", "val/learning/score_avg"


def one_epoch(events, epoch, losses, score=None):
    for i, value in enumerate(losses):
        row = {"total": torch.tensor(value), "part": value / 2}
        events.register(epoch, i, len(losses), LOSS, row, "scalar/loss")
    if score is not None:
        events.register(epoch, None, None, SCORE, {"map": score}, "scalar/score")
    return events.close_epoch()


def lines(folder):
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_rows_land_beside_the_checkpoint(tmp_path):
    events = Events(files=EventFiles(tmp_path))
    events.start()
    events.register(None, None, None, "net/graph", {"net": {"dtype": "text", "data": "x"}}, "blob")
    one_epoch(events, 0, [1.0, 3.0], 0.5)
    one_epoch(events, 1, [float("nan"), 1.0])
    graph, first, score, second = lines(tmp_path)
    assert graph["epoch"] is None
    assert (tmp_path / graph["data"]["net"]["path"]).read_text() == "x"
    assert first["epoch"] == 0
    assert first["data"] == {"total": [1.0, 3.0], "part": [0.5, 1.5]}
    assert first["relative_iteration"] == [0, 1]
    assert score["data"] == {"map": 0.5}
    assert score["relative_iteration"] is None
    assert second["data"]["total"] == [None, 1.0]
    with open(tmp_path / "metrics.csv") as file:
        table = list(csv.DictReader(file))
    assert table[0]["epoch"] == "1"
    assert float(table[0]["train/learning/loss:total_avg.4"]) == 2.0
    assert table[1]["val/learning/score_avg:map"] == ""


def test_a_restart_drops_what_a_killed_run_left(tmp_path):
    events = Events(files=EventFiles(tmp_path))
    events.start()
    one_epoch(events, 0, [1.0, 3.0], 0.5)
    state = events.state_dict({}, str(tmp_path))
    one_epoch(events, 1, [9.0], 0.1)
    with open(tmp_path / "events.jsonl", "a") as file:
        file.write('{"epoch": 2, "da')
    again = Events(files=EventFiles(tmp_path))
    again.load_state_dict(state)
    assert [row["epoch"] for row in lines(tmp_path)] == [0, 0]
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 2
    one_epoch(again, 1, [0.5], 0.6)
    assert again.metrics.metadata()["train/learning/loss:total_avg.4"] == [2.0, 0.5]
    assert again.metrics.best_epoch("train/learning/loss:total")["index"] == 1
    again.start()
    assert lines(tmp_path) == []


def test_the_state_is_small_and_gives_the_same_metrics():
    events = Events()
    one_epoch(events, 0, [1.0] * 50 + [4.0], 0.5)
    state = events.state_dict({"progress": {}}, "folder")
    assert state["data"][0][LOSS]["data"]["total"] == [pytest.approx(54 / 51)]
    again = Events()
    again.load_state_dict(state)
    assert again.metrics.metadata() == events.metrics.metadata()
    assert again.state_dict({"progress": {}}, "folder") == state


def test_long_epochs_are_written_as_means_of_blocks(tmp_path):
    events = Events(files=EventFiles(tmp_path))
    values = [float(i) for i in range(2500)]
    one_epoch(events, 0, values)
    (row,) = lines(tmp_path)
    assert row["relative_iteration"][:2] == [2, 5]
    assert row["relative_iteration"][-1] == 2499
    assert row["data"]["total"][0] == 1.0
    assert row["data"]["total"][-1] == 2499.0
    assert events.metrics.metadata()["train/learning/loss:total_avg.4"] == [np.mean(values)]


def test_device_values_are_fetched_together():
    class Interval(Processor):
        def __init__(self):
            self.calls = []

        def wants(self, row):
            return (row["relative_iteration"] + 1) % 3 == 0

        def rows(self, epoch, rows):
            self.calls.append([row["data"]["total"] for row in rows])

    interval = Interval()
    one_epoch(Events([interval]), 0, [1.0, 2.0, 3.0, 4.0])
    assert interval.calls == [[1.0, 2.0, 3.0], [4.0]]


def test_logging_mistakes_of_a_method_are_caught():
    events = Events()
    one_epoch(events, 0, [1.0])
    with pytest.raises(ValueError, match="epoch 0 is logged while epoch 1 is open"):
        events.register(0, 0, 1, LOSS, {"total": 1.0}, "scalar/loss")
    with pytest.raises(ValueError, match="names logged have changed"):
        events.register(1, 0, 1, LOSS, {"other": 1.0}, "scalar/loss")


def test_histograms_equal_numpys():
    values = torch.linspace(-1, 2, 1000) ** 3
    found = histogram(values)
    counts, edges = np.histogram(values.numpy(), 200)
    assert (found["low"], found["high"]) == pytest.approx((edges[0], edges[-1]))
    assert np.abs(np.array(found["counts"]) - counts).sum() <= 4
    assert histogram(torch.zeros(7))["counts"] == [7]
    inf = float("inf")
    for low, high in ((0.0, inf), (-inf, 0.0), (-inf, inf)):
        values = torch.tensor([high, low, low])
        assert histogram(values) == {"low": low, "high": high, "counts": [3]}


def test_numbers_of_a_state_from_anywhere_are_plain():
    data = {"total": [np.float32(0.5), torch.tensor(1.5)], "part": np.array([1.0, 2.0])}
    row = {"timestamp": [1.0, 2.0], "relative_iteration": [0, 1], "epoch_size": 2, "key": LOSS}
    events = Events()
    consts = {"net/size": {**row, "dtype": "scalar/count", "data": {"n": np.int64(7)}}}
    events.load_state_dict(
        {"consts": consts, "data": [{LOSS: {**row, "data": data, "dtype": "scalar/loss"}}]}
    )
    state = json.loads(json.dumps(events.state_dict({}, "")))
    assert state["consts"]["net/size"]["data"] == {"n": 7}
    assert state["data"][0][LOSS]["data"] == {"total": [1.0], "part": [1.5]}


def test_pictures_and_weights(tmp_path):
    events = Events([TensorBoard(tmp_path)], EventFiles(tmp_path))
    picture = {"image0.rgb": {"dtype": "image:rgb", "data": torch.full((3, 4, 5), 0.5)}}
    events.register(0, 0, 1, "train/data/input", picture, "blob")
    events.register(0, 0, 1, "train/net/params", {"w": torch.arange(9.0)}, "weight/param")
    one_epoch(events, 0, [1.0])
    events.close()
    blob, weight, _ = lines(tmp_path)
    image = Image.open(tmp_path / blob["data"]["image0.rgb"][0]["path"])
    assert image.size == (5, 4)
    assert image.getpixel((0, 0)) == (127, 127, 127)
    assert sum(weight["data"]["w"][0]["counts"]) == 9
    assert list((tmp_path / "tensorboard").iterdir())
    assert "train/net/params" not in events.state_dict({}, "")["data"][0]


def test_blobs_of_names_that_are_alike_or_long_have_files_of_their_own(tmp_path):
    files = EventFiles(tmp_path)
    names = ["v/input", "v_input", "v:input", "v\ninput", "a" * 250, "a" * 251, "夜" * 90, "v"]
    blob = {"dtype": "text", "data": "x"}
    paths = [files.write_blob(0, 0, "val/learning/data", name, blob) for name in names]
    assert paths[0] == "blobs/val_learning_data-v_input-0-0.txt"
    assert len(list((tmp_path / "blobs").iterdir())) == len(set(paths)) == len(names)
    assert not any(character in "".join(paths) for character in "\n:")


def test_the_page_is_drawn_first_and_last_and_seldom_in_between(tmp_path, monkeypatch):
    drawn = []

    def draw(folder, title):
        drawn.append(title)
        clock[0] += 2

    clock = [100.0]
    monkeypatch.setattr("mdir.learning.events.html_report.time.time", lambda: clock[0])
    page = ModuleType("mdir.report.training_page")
    page.write_training_page = draw
    monkeypatch.setitem(sys.modules, "mdir.report.training_page", page)
    report = HtmlReport(tmp_path / "run" / "epochs")
    for epoch in range(9):
        report.epoch_closed(epoch, {}, {})
        clock[0] += 10
    assert drawn == ["Epoch 1 of run", "Epoch 5 of run", "Epoch 9 of run"]
    report.close()
    assert len(drawn) == 3
    report.epoch_closed(9, {}, {})
    report.close()
    assert drawn[-1] == "Epoch 10 of run"
    HtmlReport(tmp_path).close()


def test_a_full_disk_ends_tensorboard_with_the_folder_alone(tmp_path, monkeypatch, capfd):
    from tensorboard.compat.tensorflow_stub.io import gfile

    def full(*_):
        raise OSError(28, "No space left on device")

    board = TensorBoard(tmp_path)
    row = {"key": "train/learning/loss", "dtype": "scalar/loss", "epoch_size": 1}
    rows = [{**row, "relative_iteration": 0, "data": {"total": 1.0}}]
    board.rows(0, rows)
    monkeypatch.setattr(gfile.LocalFileSystem, "_write", full)
    with pytest.raises(OSError, match=r"\[Errno 28\] No space left on device: '.*/tensorboard'"):
        for _ in range(50):
            board.rows(0, rows)
            board.state_dict()
    with pytest.raises(OSError, match="No space left on device"):
        board.close()
    assert "Traceback" not in capfd.readouterr().err


def test_what_a_checkpoint_keeps_and_the_files_of_blobs(tmp_path, monkeypatch):
    monkeypatch.setattr("mdir.learning.events.events.time.time", lambda: 50.0)
    events = Events(files=EventFiles(tmp_path))
    graph = {"net": {"dtype": "text", "data": "x"}}
    events.register(None, None, None, "net/graph", graph, "blob")
    one_epoch(events, 0, [1.0])
    for iteration, name in ((3, "a"), (None, "b")):
        blob = {name: {"dtype": "text", "data": name}}
        events.register(1, iteration, 4, f"val/data/{name}", blob, "blob")
    events.close_epoch()
    state = events.state_dict({"progress": 3}, "folder")
    assert {key: state[key] for key in ("name", "params")} == {
        "name": "EventBroker",
        "params": {"processors": {"progress": 3}, "dataroot": "folder"},
    }
    row = {"timestamp": 50.0, "relative_iteration": None, "epoch_size": None, "key": "net/graph"}
    stored = {"net": {"dtype": "text", "path": "blobs/net_graph-net-const.txt"}}
    assert state["consts"] == {"net/graph": {**row, "data": stored, "dtype": "blob"}}
    one, two = state["data"]
    assert one == {
        LOSS: {
            "timestamp": [50.0], "relative_iteration": [0], "epoch_size": 1, "key": LOSS,
            "data": {"total": [1.0], "part": [0.5]}, "dtype": "scalar/loss",
        }
    }  # fmt: skip
    assert two["val/data/a"]["data"]["a"] == [
        {"dtype": "text", "path": "blobs/val_data_a-a-1-3.txt"}
    ]
    assert two["val/data/b"]["data"]["b"]["path"] == "blobs/val_data_b-b-1-null.txt"
    assert set(state) == {"name", "params", "consts", "data"}


def test_a_full_disk_is_told_with_the_file(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(event_files.os, "fsync", full)
    with pytest.raises(OSError) as caught:
        EventFiles(tmp_path).append(0, {})
    error = caught.value
    assert (error.errno, error.filename) == (28, str(tmp_path / "events.jsonl"))
    assert error.strerror == "No space left on device"


def test_what_tensorboard_is_given(tmp_path):
    given = []

    def tell(name):
        return lambda *values, **named: given.append((name, *values, *named.items()))

    names = ("add_scalar", "add_image", "add_histogram_raw", "flush", "close")
    board = TensorBoard(tmp_path)
    board._writer = SimpleNamespace(**{name: tell(name) for name in names})
    events = Events([board], EventFiles(tmp_path))
    one_epoch(events, 0, [8.0])
    del given[:]
    one_epoch(events, 1, [1.0, 3.0], 0.5)
    for iteration in range(2):
        spent = {"prepare_data": 2.0}
        events.register(2, iteration, 2, "train/learning/iteration", spent, "scalar/time")
    blobs = {
        "rgb": {"dtype": "image:rgb", "data": torch.full((3, 4, 5), 0.5)},
        "chan1": {"dtype": "image:gray", "data": torch.full((4, 5), 1.0)},
        "text": {"dtype": "text", "data": "x"},
    }
    events.register(2, 0, 2, "train/data/seen", blobs, "blob")
    events.register(2, 0, 2, "train/net/params", {"w": torch.tensor([0.0, 2.0])}, "weight/param")
    events.close_epoch()
    events.open_state()
    events.close()
    images = [each for each in given if each[0] == "add_image"]
    ((_, tag, *named),) = [each for each in given if each[0] == "add_histogram_raw"]
    assert [each for each in given if each[0] not in ("add_image", "add_histogram_raw")] == [
        ("add_scalar", f"{LOSS}/total", 1.0, 2), ("add_scalar", f"{LOSS}/part", 0.5, 2),
        ("add_scalar", f"{LOSS}/total", 3.0, 3), ("add_scalar", f"{LOSS}/part", 1.5, 3),
        ("add_scalar", f"{LOSS}/total_avg", 2.0, 1), ("add_scalar", f"{LOSS}/part_avg", 1.0, 1),
        ("add_scalar", f"{SCORE}/map", 0.5, 1),
        ("flush",),
        ("add_scalar", "train/learning/iteration/prepare_data", 2.0, 4),
        ("add_scalar", "train/learning/iteration/prepare_data", 2.0, 5),
        ("add_scalar", "train/learning/iteration/prepare_data_sum", 4.0, 2),
        ("flush",), ("flush",), ("flush",), ("close",),
    ]  # fmt: skip
    assert [(each[1], each[2].shape, *each[3:]) for each in images] == [
        ("train/data/seen/rgb", (4, 5, 3), 2, ("dataformats", "HWC")),
        ("train/data/seen/chan1", (4, 5), 2, ("dataformats", "HW")),
    ]
    assert images[0][2].max() == 127 and images[1][2].min() == 255
    values, counts = dict(named), [1, *[0] * 198, 1]
    assert tag == "train/net/params/w" and values.pop("bucket_counts") == counts
    limits = values.pop("bucket_limits")
    assert (len(limits), limits[0], limits[-1]) == (200, pytest.approx(0.01), 2.0)
    # the sums are those of the middles of the buckets
    assert values.pop("sum_squares") == pytest.approx(0.005**2 + 1.995**2)
    assert values == {"min": 0.0, "max": 2.0, "num": 2, "sum": 2.0, "global_step": 2}
