"""What a training logs of each epoch, and when."""

import itertools
import json
from types import SimpleNamespace

import pytest
import torch

from cirtorch.utils.weight_files import load_weights
from mdir.learning import loop, validation
from mdir.learning.checkpoints.within import Position
from mdir.learning.events.events import Events
from mdir.learning.loop import (
    are_samples_due,
    begin_epoch,
    log_samples,
    log_weights,
    run_epochs,
    train_epoch,
)
from mdir.stages.train import train
from tests.learning.tiny_run import train_params, write_data

LOSS = "train/learning/loss", "scalar/loss"
PREPARED = "prepare_epoch", "scalar/time"
STEPS = "iteration", "scalar/time"


@pytest.fixture
def ticks(monkeypatch):
    """A clock that is a second later at each look, so that everything timed takes one."""
    seconds = itertools.count(100)
    clock = SimpleNamespace(time=lambda: float(next(seconds)))
    monkeypatch.setattr(loop, "time", clock)
    monkeypatch.setattr(validation, "time", clock)


def test_rows_of_a_training(root, ticks):
    write_data(root)
    params = train_params(epochs=5)
    told = train(params)[0]
    folder = root / "run/epochs"
    rows = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    graph, *rows = rows
    assert (graph["epoch"], graph["key"], graph["dtype"]) == (None, "net/network_graph", "blob")
    assert list(graph["data"]) == ["first", "last"]

    found = {(row["epoch"], row["key"], row["dtype"]): row for row in rows}
    for epoch in range(5):
        for label, steps in (("train", [0, 1, 2]), ("val", [0])):
            taken = ["prepare_data", "process_batch", "take_statistics"][: 3 if steps[1:] else 2]
            times = found.pop((epoch, f"{label}/learning/{PREPARED[0]}", PREPARED[1]))
            assert (times["relative_iteration"], times["epoch_size"]) == (None, None)
            assert times["data"] == {"prepare_data": 1.0}
            times = found.pop((epoch, f"{label}/learning/{STEPS[0]}", STEPS[1]))
            losses = found.pop((epoch, f"{label}/learning/loss", "scalar/loss"))
            for row in (times, losses):
                assert row["relative_iteration"] == steps and row["epoch_size"] == len(steps)
            assert times["data"] == dict.fromkeys(taken, [1.0] * len(steps))
            assert list(losses["data"]) == ["total"] and all(x > 0 for x in losses["data"]["total"])
        for name in ("first", "last"):
            weights = found.pop((epoch, f"train/{name}/params", "weight/param"))
            assert weights["relative_iteration"] == ([-1, 2] if epoch == 0 else [2])
            assert "model.1.weight" in weights["data"] and weights["epoch_size"] == 3
    assert {(*place, *row["relative_iteration"]) for place, row in found.items()} == {
        (epoch, f"train/data/{name}", "blob", iteration)
        for epoch, iteration in ((0, 0), (4, 2))
        for name in ("input", "output", "target")
    }

    losses = told["metrics"]["val/learning/loss:total_avg.4"]
    best = min(range(5), key=losses.__getitem__)
    assert told["best_epoch"]["index"] == best and len(losses) == 5
    assert set(told) == {"metrics", "best_epoch", "resource_usage", "code_version"}
    state = load_weights(folder / "learning_epoch_05.pth")
    training = params["learning"]["training"]
    assert {key: state["training"][key] for key in ("type", "epoch")} == {
        "type": "EpochTraining", "epoch": 4
    }  # fmt: skip
    rest = {key: value for key, value in training.items() if key != "type"}
    assert state["training"]["params"] == rest
    assert state["validation"] == {"params": params["learning"]["validation"]}
    assert state["datasets"] == params["data"]
    assert state["events"]["params"] == {"processors": {"progress": 0}, "dataroot": str(folder)}


def test_samples_come_first_of_all_and_last_of_every_fifth_epoch():
    due = [(e, i) for e in range(11) for i in range(3) if are_samples_due(e, i, 3)]
    assert due == [(0, 0), (4, 2), (9, 2)]


class Rows:
    """Stands in for events."""

    def __init__(self):
        self.rows, self.results = [], []

    def register(self, *row):
        self.rows.append(row)

    def hand_on(self, result):
        self.results.append(result)


def test_what_a_method_prepares_is_logged_as_times_and_numbers(ticks):
    class Method:
        def prepare_epoch(self, dataset, epoch):
            assert network.mode == "eval"
            self.given = dataset, epoch
            return self.told

        def results(self):
            return "clusters"

    method, events = Method(), Rows()
    network = SimpleNamespace(mode="train", eval=lambda: setattr(network, "mode", "eval"))
    training = SimpleNamespace(seed=5, method=method, network=network, dataset="data")
    method.told = {"clusters": 3, "search_s": 2.0}
    position = begin_epoch(training, events, 4)
    assert (position.seed, position.iteration, method.given) == (5, 0, ("data", 4))
    drawn = torch.rand(1)
    torch.manual_seed(9)
    assert drawn == torch.rand(1)
    assert events.results == ["clusters"]
    spent = {"search_s": 2.0, "prepare_data": 1.0}
    assert events.rows == [
        (4, None, None, "train/learning/data_mining", {"clusters": 3}, "scalar/loss"),
        (4, None, None, "train/learning/prepare_epoch", spent, "scalar/time"),
    ]
    method.told, events = None, Rows()
    begin_epoch(training, events, 0)
    assert [row[3] for row in events.rows] == ["train/learning/prepare_epoch"]


def test_images_and_weights_are_logged_where_there_are_any():
    events = Rows()
    samples = {"seen": torch.zeros(3, 24, 24), "label": torch.zeros(4)}
    method = SimpleNamespace(samples=lambda: samples)
    training = SimpleNamespace(method=method, mean_std=[[0.25] * 3, [1.0] * 3])
    log_samples(training, events, 2, 7, 8)
    ((*place, blobs, kind),) = events.rows
    assert (place, kind) == ([2, 7, 8, "train/data/seen"], "blob")
    assert blobs["image0.rgb"]["data"].unique().item() == 0.25

    parameters = [("w", torch.ones(2)), ("none", torch.zeros(0))]
    single = SimpleNamespace(members={}, named_parameters=lambda: iter(parameters))
    empty = SimpleNamespace(members={}, named_parameters=lambda: iter(()))
    network = SimpleNamespace(members={"a": single, "b": empty})
    events = Rows()
    log_weights(network, events, 1, 3, 4)
    assert events.rows == [(1, 3, 4, "train/a/params", {"w": parameters[0][1]}, "weight/param")]
    events = Rows()
    log_weights(single, events, 1, 3, 4)
    assert events.rows[0][3] == "train/net/params"


def test_the_values_of_an_open_epoch_are_in_order():
    events = Events()
    for iteration, data in enumerate(({"total": 1.0}, {"total": torch.tensor(2.0)})):
        events.register(0, iteration, 2, *LOSS[:1], data, LOSS[1])
    assert events.values(LOSS[0], "total") == [1.0, 2.0]
    assert events.values(LOSS[0], "other") == events.values("no/such/key", "total") == []


class Steps:
    """Stands in for a run, its training and its method: batches are numbers, and their losses."""

    def __init__(self, calls, batches):
        self.training = self.method = self.network = self
        self.calls, self.batches, self.members, self.mean_std = calls, batches, {}, None
        self.events = Rows()

    def named_parameters(self):
        return iter([("w", torch.ones(2))])

    def train(self):
        self.calls.append("train")

    def loader(self, seed, epoch, done):
        self.calls.append(("loader", seed, epoch, done))
        return self.batches[done:]

    def step(self, batch):
        return {"total": batch}

    def samples(self):
        return {"seen": torch.zeros(3, 24, 24)}

    def step_done(self, epoch, position):
        self.calls.append((epoch, position, len(self.events.rows)))

    def end_epoch(self):
        self.calls.append("end")

    def results(self):
        return "finished"


@pytest.mark.parametrize(
    ("epoch", "position", "first", "pictures"),
    [
        (0, Position(7), ["params -1", "loss 0", "seen 0", "iteration 0"], [0]),
        (0, Position(7, 1), ["loss 1", "iteration 1"], []),
        (1, Position(8), ["loss 0", "iteration 0"], []),
        (4, Position(11, 2), ["loss 2", "seen 2", "params 2", "iteration 2"], [2]),
    ],
)
def test_rows_and_positions_of_an_epoch_from_any_step(ticks, epoch, position, first, pictures):
    run = Steps([], [1.0, 2.0, 3.0])
    train_epoch(run, epoch, position)
    rows, done = run.events.rows, position.iteration
    told = [f"{row[3].rpartition('/')[2]} {row[1]}" for row in rows]
    assert told[: len(first)] == first and told[-2:] == ["params 2", "iteration 2"]
    assert {(row[0], row[2]) for row in rows} == {(epoch, 3)}
    found = {key: [row for row in rows if row[3] == key] for key in {row[3] for row in rows}}
    seen = found.pop("train/data/seen", [])
    assert [row[1] for row in seen] == pictures and {row[5] for row in seen} <= {"blob"}
    weights = found.pop("train/net/params")
    assert [row[1] for row in weights] == ([-1, 2] if epoch == done == 0 else [2])
    losses, times = found.pop("train/learning/loss"), found.pop("train/learning/iteration")
    assert [row[1] for row in losses] == [row[1] for row in times] == list(range(done, 3))
    assert [row[4] for row in losses] == [{"total": each + 1.0} for each in range(done, 3)]
    assert {row[5] for row in losses} == {"scalar/loss"}
    spent = {"prepare_data": 1.0, "process_batch": 1.0, "take_statistics": 1.0}
    assert all(row[4] == spent and row[5] == "scalar/time" for row in times) and not found
    begun, loader, *steps, end = run.calls
    assert (begun, loader, end) == ("train", ("loader", position.seed, epoch, done), "end")
    assert [(each[0], each[1]) for each in steps] == [
        (epoch, Position(position.seed, number)) for number in range(done + 1, 4)
    ]
    assert steps[-1][2] == len(rows) and run.events.results == ["finished"]


def test_epochs_from_where_a_run_goes_on(monkeypatch):
    calls = []

    def tell(name):
        return lambda *given: calls.append((name, *given))

    def begin(training, events, epoch):
        return f"beginning of {epoch}"

    monkeypatch.setattr(loop, "train_epoch", lambda run, epoch, where: calls.append((epoch, where)))
    monkeypatch.setattr(loop, "begin_epoch", begin)
    monkeypatch.setattr(loop, "require_finite", lambda optimizer, _, epoch: tell(optimizer)(epoch))
    each = SimpleNamespace(run=lambda _, epoch: tell("each")(epoch), is_due=lambda *_: True)
    late = SimpleNamespace(run=lambda _, epoch: tell("late")(epoch), is_due=lambda _, last: last)
    events = SimpleNamespace(
        begin=tell("begin"),
        close_epoch=tell("close"),
        metrics=SimpleNamespace(is_last_best=lambda *given: given),
    )
    method = SimpleNamespace(validates=lambda epoch: epoch != 2)
    training = SimpleNamespace(
        epochs=4, optimizer="weights", method=method, scheduler=SimpleNamespace(apply=tell("rate"))
    )
    validation = SimpleNamespace(
        decisive_criterion="a:b", ties_are_best=False, members=[each, late]
    )
    run = SimpleNamespace(
        training=training, validation=validation, events=events, start=1, position="within",
        save=tell("save"),
    )  # fmt: skip
    run_epochs(run)
    assert calls == [
        ("rate", 1), ("begin", 4),
        (1, "within"), ("weights", 1), ("each", 1), ("rate", 2), ("close",),
        ("save", 1, ("a:b", False)),
        (2, "beginning of 2"), ("weights", 2), ("rate", 3), ("close",),
        ("save", 2, ("a:b", False)),
        (3, "beginning of 3"), ("weights", 3), ("each", 3), ("late", 3), ("rate", 4), ("close",),
        ("save", 3, ("a:b", False)),
    ]  # fmt: skip
    del calls[:]
    run.position, run.start, training.epochs = None, 0, 1
    run_epochs(run)
    assert (0, "beginning of 0") in calls
