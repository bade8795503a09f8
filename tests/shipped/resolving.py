"""What the steps of a shipped scenario would be given."""

from pathlib import Path

from mdir.scenario.plan import SCENARIOS, load_scenario, plan_target
from mdir.scenario.variables import Resolver


def shipped(path, *arguments):
    """A shipped scenario under further layers."""
    return load_scenario([str(Path(SCENARIOS, path)), *arguments])


def resolved(path, target, *arguments):
    """Step name -> parameters with their variables resolved, as far as nothing has to run."""
    plan = plan_target(shipped(path, *arguments), target)
    context = plan.context()
    found = {}
    for step in plan.steps:
        context.add(step.name, step.function, step.parameters)
        if "compare" not in step.name and "report" not in step.name:
            found[step.name] = Resolver(context).resolve(step.parameters)
            context.finish(step.name, found[step.name], {})
    return found
