"""All that is checked before a step runs, in one report."""

from collections.abc import Iterable

from mdir.registry import Problem
from mdir.scenario.decisions import RUN, Choice, Decision, was_checked
from mdir.scenario.plan import (
    Plan,
    Scenario,
    check_parameters,
    check_variables,
    load_scenario,
    resolved,
    sketch,
    unknown_targets,
)
from mdir.scenario.tree import Located, refuse
from mdir.scenario.unread import unread_settings

NOT_YET = "The parameters of steps and components are not checked yet; validate checks all at once."


def check_everything(args: list[str], cell: str | None = None) -> tuple[list[Plan], list[str]]:
    """Check every target of a scenario, components included; nothing runs.

    Returns:
        the plans of all targets, and warnings.

    Raises:
        ScenarioError: with every problem of every target.
    """
    scenario = load_scenario(args, collect=True, cell=cell)
    problems, warnings, plans = list(scenario.problems), list(scenario.warnings), []
    unknown = unknown_targets(scenario)
    for target in [name for name in scenario.targets if name not in unknown]:
        plan, found = check_target(scenario, target, problems)
        problems += found
        warnings += plan.warnings
        plans.append(plan)
    return plans, warnings + refuse([*problems, *unknown.values()])


def check_target(
    scenario: Scenario, target: str, known: Iterable[Located] = ()
) -> tuple[Plan, list[Located]]:
    """The plan of a target with every problem of it; what is ``known`` hides what comes of it."""
    plan, problems = sketch(scenario, target)
    problems += unread_settings(plan)
    return plan, problems + _check_plan(plan, [*known, *problems])


def check_scenario_level(scenario: Scenario, target: str) -> Plan:
    """The plan of a target, everything checked that needs no step to be imported.

    Raises:
        ScenarioError: with every problem of the sources, the structure and the variables.
    """
    unknown = unknown_targets(scenario)
    plan, problems = sketch(scenario, target)
    if target in unknown:
        plan, problems = Plan(scenario, target, []), []
    problems = scenario.problems + problems + list(unknown.values())
    if all(each.problem.path for each in scenario.problems):
        problems += [*unread_settings(plan), *check_variables(plan)]
    scenario.warnings += refuse(problems, NOT_YET if plan.steps else None)
    return plan


def check_before_running(plan: Plan, decisions: list[Decision], choice: Choice) -> list[str]:
    """Check every step that may run.

    Parameters that this version has not accepted before are checked, those of steps that always run
    again, and that standard input is there for a step that reads it.

    Returns:
        warnings.

    Raises:
        ScenarioError: with every problem of every step.
    """
    problems = []
    for decision in decisions:
        step = decision.step
        if decision.action != RUN:
            continue
        if choice.lines is None and step.entry.reads_stdin(step.parameters):
            message = "reads names from standard input, one per line, but that is a terminal"
            problems += plan.locate(step, [Problem((), f"{message}; pipe them in")])
        if step.entry.always or not was_checked(decision):
            problems += check_parameters(plan, step, decision.parameters)
    return refuse(problems)


def _check_plan(plan, known: list[Located]):
    """Variables and parameters of the steps in which nothing else is wrong yet."""
    broken = {each.problem.path[:2] for each in known}
    problems = []
    for step, parameters, unknown in resolved(plan):
        if (plan.target, step.name) not in broken:
            problems += plan.locate(step, unknown)
            problems += check_parameters(plan, step, parameters) if () not in broken else ()
    return problems
