"""Scenario loading, planning and variables against the published engine's results."""

import pytest

from mdir.scenario.plan import load_scenario, plan_target
from mdir.scenario.runner import perform
from mdir.scenario.tree import ScenarioError, without_places
from tests.golden.golden import load_json, needs, present

CASES = load_json("engine", "expected.json", default={})
PHASES = ("load", "plan", "run")


def decoded(value):
    """The values behind the encoding of mappings with other keys and of non-finite floats."""
    if isinstance(value, dict):
        if set(value) == {"__pairs__"}:
            return {key: decoded(item) for key, item in value["__pairs__"]}
        if set(value) == {"__float__"}:
            return float(value["__float__"])
        return {key: decoded(item) for key, item in value.items()}
    return [decoded(item) for item in value] if isinstance(value, list) else value


def strict(value):
    """Values in a form that tells 1 from 1.0 and True; the order of a mapping is no matter."""
    if isinstance(value, dict):
        return {(type(key), key): strict(item) for key, item in value.items()}
    if isinstance(value, list):
        return [strict(item) for item in value]
    return (type(value), repr(value))


def performed(case, reached):
    """Load, plan and run a case with stubs; ``reached`` takes what came of each phase."""
    reached["phase"] = "load"
    scenario = load_scenario(case["args"])
    reached["load"] = without_places(scenario.tree)
    reached["phase"] = "plan"
    plan = plan_target(scenario, case["target"])
    reached["steps"] = [[step.name, step.function, step.parameters] for step in plan.steps]
    reached["phase"] = "run"
    reached["resolved"] = {}
    names = iter([step.name for step in plan.steps])

    def stub(params, data):
        name = next(names)
        reached["resolved"][name] = params
        return (decoded(case.get("step_metadata", {}).get(name, {})),)

    stubs = {step.function: stub for step in plan.steps}
    perform(plan, functions=stubs, say=lambda line: None)


@pytest.mark.parametrize("name", CASES or [None])
def test_case(name, monkeypatch):
    needs("engine", "expected.json")
    case = CASES[name]
    folder = present("engine", f"cases/{name}")
    if folder is None:
        pytest.skip(f"the files of case {name} are absent")
    monkeypatch.chdir(folder)
    expected = case["upstream"] if case.get("advice", "KEEP") == "KEEP" else case["recommended"]
    reached, raised = {}, None
    try:
        performed(case, reached)
    except ScenarioError as error:
        raised = error
    parts = ["load", "steps"] if "raises" in expected else ["load", "steps", "resolved"]
    for part in parts:
        if part in expected and part in reached:
            assert strict(reached[part]) == strict(decoded(expected[part])), part
    if "raises" in expected:
        assert isinstance(raised, ValueError)
        phase = expected["raises"]["phase"]
        assert PHASES.index(reached["phase"]) <= PHASES.index(phase)
    else:
        assert raised is None, raised
