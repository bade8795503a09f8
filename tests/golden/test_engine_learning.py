"""Golden: schedules, alternation, events of the published learning loop."""

import math

import pytest
import torch

from mdir.learning.events import Events
from mdir.learning.optimizers import AlternationOptimizer
from mdir.learning.schedulers import make_scheduler
from tests.golden.golden import load_json

UNITS = load_json("engine", "units.json", {})
EXACT = {"rel": 1e-12, "abs": 1e-15}
CLOSE = {"rel": 1e-9, "abs": 1e-12}


def cases(section):
    return [pytest.param(case, id=f"{i}") for i, case in enumerate(UNITS.get(section, []))]


def sgd(lr):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


@pytest.mark.parametrize("case", cases("schedulers"))
def test_schedulers(case):
    optimizer = sgd(case["lr"])
    scheduler = make_scheduler(case["params"], optimizer, case["epochs"])
    rates = []
    for epoch in range(case["epochs"]):
        scheduler.apply(epoch)
        rates.append(optimizer.param_groups[0]["lr"])
        if case["resumed_after_epoch_index"] == epoch:
            scheduler.apply(epoch + 1)
            state, optimizer = optimizer.state_dict(), sgd(case["lr"])
            optimizer.load_state_dict(state)
            scheduler = make_scheduler(case["params"], optimizer, case["epochs"])
    scheduler.apply(case["epochs"])
    assert rates == pytest.approx(case["lr_in_epoch"], **EXACT)
    after = optimizer.param_groups[0]["lr"]
    assert after == pytest.approx(case["lr_after_last"], **EXACT)


@pytest.mark.parametrize("case", cases("alternation"))
def test_alternation(case):
    stepped = []

    class Spy(torch.optim.SGD):
        def step(self, closure=None):
            stepped[-1].append(next(n for n, o in optimizers.items() if o is self))

    order = case["order"].split(",")
    optimizers = {n: Spy([torch.nn.Parameter(torch.zeros(1))], lr=1) for n in order}
    optimizer = AlternationOptimizer(optimizers, case["alternate_iteration"])
    for _ in case["stepped"]:
        stepped.append([])
        optimizer.step()
    assert stepped == case["stepped"]
    assert optimizer.state_dict()["alternation"] == case["state_alternation"]
    assert list(optimizer.state_dict()) == case["state_keys"]
    assert list(optimizer) == case["iteration_order"]
    assert all(name in optimizer for name in case["names"])


@pytest.mark.parametrize("case", cases("events"))
def test_events(case):
    events = Events()
    for epoch, expected in zip(case["stream"], case["is_last_best_after_epoch"], strict=True):
        for iteration, size, key, data, dtype in epoch["rows"]:
            events.register(epoch["epoch"], iteration, size, key, data, dtype)
        events.close_epoch()
        assert {c: events.metrics.is_last_best(c) for c in expected} == expected
    metadata = events.metrics.metadata()
    assert sorted(metadata) == sorted(case["metadata"])
    for name, values in case["metadata"].items():
        assert metadata[name] == pytest.approx(values, nan_ok=True, **CLOSE), name
    for criterion, expected in case["best_epoch"].items():
        found = events.metrics.best_epoch(criterion)
        if expected is None:
            assert found is None
        else:
            assert (found["index"], found["key"]) == (expected["index"], expected["key"])
            assert math.isclose(found["metric_avg.3"], expected["metric_avg.3"], rel_tol=1e-9)
