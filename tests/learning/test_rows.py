"""What a training logs of each epoch, and when."""

import itertools
import json
from types import SimpleNamespace

import pytest
import torch

from cirtorch.utils.weight_files import load_weights
from mdir.learning import loop, validation
from mdir.learning.events.events import Events
from mdir.learning.loop import are_samples_due, begin_epoch, log_samples, log_weights
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
