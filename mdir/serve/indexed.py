"""The index that a scenario made, and how the network that made it is to be had again."""

import inspect
from dataclasses import dataclass

from mdir import registry
from mdir.errors import UserError
from mdir.paths import resolve_path
from mdir.scenario.checks import check_scenario_level
from mdir.scenario.decisions import Decider, recorded_result
from mdir.scenario.journal import Journal
from mdir.scenario.plan import check_parameters, load_scenario, sketch
from mdir.scenario.program import call
from mdir.scenario.tree import ScenarioError
from mdir.stages.extract import extract

INDEX, EXTRACT = "mdir.stages.index.index", "mdir.stages.extract.extract"


@dataclass(frozen=True)
class Indexed:
    """``extraction``: the parameters of the step extract that described the images."""

    target: str
    directory: str
    extraction: dict


def read_indexed(layers: list[str], target: str | None) -> Indexed:
    """Find the step index of a scenario's target, and the step extract of its images.

    Args:
        layers: the scenario and its overlays. target: None: the only one with an index.

    Raises:
        ScenarioError, UserError: there is no such target or index, or it has not been made yet.
    """
    scenario = load_scenario(layers, collect=True)
    plan = check_scenario_level(scenario, target or _only_target(scenario, layers[0]))
    resolved, done = _resolved(plan)
    found = [step for step in plan.steps if step.function == INDEX]
    if not found:
        raise UserError(
            f"target {plan.target} of {layers[0]} makes no index: it has no step {INDEX}."
            f"{_hint(scenario)}"
        )
    step = found[-1]
    if step.name not in done:
        raise UserError(
            f"step {step.name} of target {plan.target} has not made its index yet; first: "
            f"{call()} {plan.target} {' '.join(layers)}"
        )
    told = resolved[step.name]
    databases = told["database"] if isinstance(told["database"], list) else [told["database"]]
    folders = {resolve_path(database) for database in databases}
    for maker in plan.steps:
        parameters = resolved[maker.name]
        if maker.function == EXTRACT and resolve_path(parameters["directory"]) in folders:
            if problems := check_parameters(plan, maker, parameters):
                raise ScenarioError(problems)
            return Indexed(plan.target, resolve_path(told["directory"]), _whole(parameters))
    raise UserError(
        f"target {plan.target}: no step {EXTRACT} fills {' or '.join(databases)}, which step "
        f"{step.name} makes its index of; so it is not known which network describes a picture"
    )


def _with_index(scenario):
    plans = [sketch(scenario, name)[0] for name in scenario.targets]
    return [plan.target for plan in plans if any(step.function == INDEX for step in plan.steps)]


def _only_target(scenario, name):
    if scenario.problems:
        raise ScenarioError(scenario.problems)
    found = _with_index(scenario)
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{name}: which target? {', '.join(found)} make an index each")
    raise UserError(f"{name}: none of its targets makes an index; it takes a step {INDEX}")


def _hint(scenario):
    found = _with_index(scenario)
    return f" Targets with one: {', '.join(found)}" if found else ""


def _resolved(plan):
    """Parameters of all steps by the results of their last runs; names of those that ended well."""
    decider = Decider(plan, Journal(plan.scenario.journal_name, plan.target))
    resolved, done = {}, set()
    for step in plan.steps:
        decision = decider.decide(step)
        decider.enter(decision, *recorded_result(decision))
        resolved[step.name] = decision.parameters
        if decision.record is not None and decision.record["status"] == "done":
            done.add(step.name)
    return resolved, done


def _whole(parameters):
    """The parameters of a step extract with its defaults."""
    given = registry.values(extract.function, parameters)
    bound = inspect.signature(extract.function).bind((), **given)
    bound.apply_defaults()
    return dict(bound.arguments)
