"""How often a parameter is checked on its way from a scenario's file to what it configures."""

from typing import Annotated

import pytest
import torch
import yaml

from mdir import registry
from mdir.registry import Check
from mdir.scenario.checks import check_before_running, check_everything
from mdir.scenario.decisions import Choice, Decider
from mdir.scenario.plan import load_scenario, plan_target
from mdir.scenario.runner import perform
from tests.learning.tiny_run import train_params, write_data

CALLS = []


def positive(value):
    """Called with the value each time that a learning rate is checked."""
    CALLS.append(value)
    if value <= 0:
        raise ValueError("expected more than 0")


def counted(parameters, *, lr: Annotated[float, Check(positive)]):
    """An optimizer whose learning rate counts its checks."""
    return torch.optim.SGD(parameters({"lr": lr}), lr=lr)


@pytest.fixture
def scenario(root, monkeypatch):
    """The file of a tiny training of one epoch, its learning rate written as text."""
    monkeypatch.setitem(registry.KINDS["optimizer"].components, "counted", counted)
    write_data(root)
    params = train_params(epochs=1)
    params["learning"]["training"]["optimizer"] = {"algorithm": "counted", "lr": "1e-3"}
    step = {"__function__": "mdir.stages.train.train", **params}
    path = root / "tiny.yml"
    path.write_text(yaml.safe_dump({"go": {"1_train": step}}))
    CALLS.clear()
    return [str(path)]


def checks_of(function, *args):
    """How often the learning rate was checked in a call."""
    CALLS.clear()
    function(*args)
    assert set(CALLS) <= {1e-3}
    return len(CALLS)


def test_a_learning_rate_is_checked_once_before_the_run_and_once_at_its_step(scenario):
    assert checks_of(check_everything, scenario) == 1
    plan, choice = plan_target(load_scenario(scenario), "go"), Choice()
    decisions = Decider(plan, None, choice).decide_all()
    assert checks_of(check_before_running, plan, decisions, choice) == 1
    assert checks_of(perform, plan) == 1


def test_and_once_in_a_step_called_from_python(scenario):
    from mdir.stages.train import train

    params = plan_target(load_scenario(scenario), "go").steps[0].parameters
    assert checks_of(train, params) == 1
