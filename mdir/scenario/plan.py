"""Scenario -> target -> ordered steps, and everything that can be checked before one runs."""

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cirtorch.utils.errors import suggest
from mdir import registry
from mdir.registry import Problem
from mdir.registry.plugins import PluginError
from mdir.scenario import one_step, step_table
from mdir.scenario.overlay import Loader
from mdir.scenario.sources import SCENARIOS, find_file
from mdir.scenario.tree import (
    FUNCTION,
    Located,
    Node,
    Place,
    ScenarioError,
    find,
    without_places,
)
from mdir.scenario.variables import Context, Pending, Resolver


@dataclass
class Scenario:
    """A finished tree: ``{target: {step: parameters}}`` with places, and what to warn about.

    ``name`` is that of the last file, ``base_name`` that of the first, ``later`` are the places
    of the top keys that other layers than the first wrote, ``cell`` is the cell of a sweep.
    """

    name: str
    base_name: str
    tree: Node
    layers: list[str]
    warnings: list[str] = field(default_factory=list)
    problems: list[Located] = field(default_factory=list)
    later: set[Place] = field(default_factory=set)
    cell: str | None = None

    @property
    def journal_name(self) -> str:
        """``BASE+NAME+CELL``: scenarios under one overlay, and cells, keep records of their own."""
        name = self.name if self.base_name == self.name else f"{self.base_name}+{self.name}"
        return name if self.cell is None else f"{name}+{self.cell}"

    @property
    def targets(self) -> dict[str, Node]:
        """Targets in file order; keys that begin with an underscore are not targets."""
        return {
            name: node
            for name, node in self.tree.value.items()
            if not (isinstance(name, str) and name.startswith("_"))
        }


@dataclass
class Step:
    """One step of a plan; ``parameters`` are plain values, variables still in them."""

    name: str
    function: str
    parameters: dict
    node: Node

    @property
    def entry(self) -> step_table.StepEntry:
        """What the engine must know of the step; imports the package of a plug-in."""
        return step_table.entry(self.function)


@dataclass
class Plan:
    """The steps of a target in the order in which they run: that of their names.

    A step that fills a folder from which an earlier one reads comes before that (``moved`` tells),
    unless it needs what lies between. Published targets depend on it.
    """

    scenario: Scenario
    target: str
    steps: list[Step]
    moved: list[str] = field(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        """What is suspicious about the order of the steps."""
        return [*_order_warnings(self), *self.moved, *_unmade_warnings(self)]

    def locate(self, step: Step, problems: Iterable[Problem]) -> list[Located]:
        """Problems of a step's parameters, with the nearest places that are known."""
        return [
            Located(
                each._replace(path=(self.target, step.name, *each.path)),
                find(step.node, each.path).where,
            )
            for each in problems
        ]

    def context(self) -> Context:
        """A fresh context for the variables of this plan."""
        scenario = self.scenario
        names = [step.name for step in self.steps]
        return Context(scenario.name, names, scenario.base_name, scenario.cell)


def load_scenario(args: list[str], collect: bool = False, cell: str | None = None) -> Scenario:
    """Read and cover the layers of a scenario.

    Args:
        args: the scenario (a ``.yml`` path or dotted name), then ``.yml`` files and ``key=value``.
        collect: leave problems in the result instead of raising them.
        cell: the name of the cell of a sweep that this is.

    Raises:
        ScenarioError: with every problem of all layers.
    """
    layers, problems = [_scenario_file(args[0])], []
    for text in args[1:]:
        is_file = text.endswith(".yml") and ("=" not in text or os.path.isfile(text))
        path = find_file(text, SCENARIOS) if is_file else text
        if path is None:
            message = f"file not found, neither here nor under {SCENARIOS}"
            problems.append(Located(Problem((), message), Place(text)))
        else:
            layers.append((path, is_file))
    loader = Loader()
    tree = loader.load(layers)
    files = [path for path, is_file in layers if is_file]
    scenario = Scenario(
        _name(files[-1]),
        _name(files[0]),
        tree,
        [path for path, _ in layers],
        loader.warnings,
        problems + loader.problems,
        loader.later,
        cell,
    )
    if problem := one_step.problem(tree, layers[0][0]):
        scenario.problems.append(problem)
        scenario.tree = Node({}, tree.place)
    if scenario.problems and not collect:
        raise ScenarioError(scenario.problems)
    return scenario


def plan_target(scenario: Scenario, target: str) -> Plan:
    """The ordered steps of a target, their structure checked.

    Raises:
        ScenarioError: an unknown target, a step that is not a mapping or whose function is unknown.
    """
    plan, problems = sketch(scenario, target)
    if problems:
        raise ScenarioError(problems)
    return plan


def sketch(scenario: Scenario, target: str) -> tuple[Plan, list[Located]]:
    """As :func:`plan_target`, but with the steps that are sound and the problems of the others."""
    node = scenario.targets.get(target)
    if node is None:
        return Plan(scenario, target, []), [_unknown_target(scenario, target)]
    if not isinstance(node.value, dict):
        problem = Problem((target,), f"a target must be a mapping, not {without_places(node)!r}")
        return Plan(scenario, target, []), [Located(problem, node.where)]
    steps, problems = [], []
    for name, child in node.value.items():
        if isinstance(name, str) and name.startswith("_"):
            continue
        is_added = child.where.source != scenario.layers[0]
        message, place = _structure(name, child, node.value.keys() - {name} if is_added else ())
        if message:
            problems.append(Located(Problem((target, name), message), place))
        else:
            parameters = without_places(child)
            steps.append(Step(name, parameters.pop(FUNCTION), parameters, child))
    steps.sort(key=lambda step: step.name)
    plan = Plan(scenario, target, steps)
    _move_makers(plan)
    return plan, problems


def unknown_targets(scenario: Scenario) -> dict[str, Located]:
    """Targets without any step that only an overlay or argument names: misspelt most likely."""
    found = {name: node for name, node in scenario.targets.items() if _is_added(scenario, node)}
    known = [str(name) for name in scenario.targets if name not in found]
    return {
        name: Located(Problem((), _unknown_target_message(str(name), known)), node.where)
        for name, node in found.items()
    }


def resolved(plan: Plan) -> Iterator[tuple[Step, dict, list[Problem]]]:
    """Every step with its parameters and the problems of the variables without a value.

    Results of steps are not known yet; what names them stays as it is.
    """
    context = plan.context()
    for step in plan.steps:
        context.add(step.name, step.function, step.parameters)
        resolver = Resolver(context)
        parameters = resolver.resolve(step.parameters)
        yield step, parameters, resolver.problems
        context.finish(step.name, parameters, Pending(step.name))


def written_places(step: Step, parameters: dict) -> Iterator[tuple[tuple, str]]:
    """Keys and text of the resolved parameters that name where a step writes."""
    return _paths_at(parameters, dict.fromkeys((*step.entry.makes, *step.entry.writes)))


def check_variables(plan: Plan) -> list[Located]:
    """Problems of all variables."""
    return [each for step, _, found in resolved(plan) for each in plan.locate(step, found)]


def check_parameters(plan: Plan, step: Step, parameters: dict) -> list[Located]:
    """Problems of a step's resolved parameters against its typed signature, components included.

    Imports the step. Values that still hold variables are left out.
    """
    try:
        function = getattr(step_table.load(step.function), "function", None)
    except PluginError as error:
        message = f"the step function {step.function!r} cannot be imported: {error}"
        return plan.locate(step, [Problem((FUNCTION,), message)])
    if function is None:
        return []
    found = registry.check_parameters(function, parameters, what=f"step {step.function}")
    return plan.locate(step, found)


def _name(path):
    return os.path.splitext(os.path.basename(path))[0]


def _scenario_file(text):
    if text.endswith(".yml"):
        name = text
    elif "=" in text or not text:
        message = "the scenario (a .yml file or a dotted name) comes before key=value"
        raise ScenarioError([Located(Problem((), message), Place(text, is_file=False))])
    else:
        name = text.replace(".", "/") + ".yml"
    path = find_file(name, SCENARIOS)
    if path is None:
        message = f"file not found, neither here nor under {SCENARIOS}"
        raise ScenarioError([Located(Problem((), message), Place(name))])
    return path, True


def _unknown_target(scenario, target):
    names = [str(name) for name in scenario.targets]
    problem = Problem((), _unknown_target_message(target, names))
    return Located(problem, Place(scenario.layers[0]))


def _unknown_target_message(target, names):
    known = f" Targets: {', '.join(names)}" if names else " The scenario has no targets"
    return f"unknown target {target!r}.{suggest(target, names)}{known}"


def _is_added(scenario, node):
    """Whether a target comes from a later layer and no child of it is a step."""
    children = node.value.values() if isinstance(node.value, dict) else ()
    has_step = any(isinstance(child.value, dict) and FUNCTION in child.value for child in children)
    return node.where in scenario.later and not has_step


def _structure(name, node, meant):
    """What is wrong with a step, and where; ``(None, None)`` when it is sound.

    ``meant`` are the steps of which it may be a misspelling.
    """
    if not isinstance(name, str):
        return f"the name of a step must be text, not {name!r}", node.where
    if not isinstance(node.value, dict):
        return f"a step must be a mapping with {FUNCTION}, not {without_places(node)!r}", node.where
    if FUNCTION not in node.value:
        hint = suggest(name, meant)
        message = f"missing {FUNCTION}, the name of the function that performs the step"
        return f"{message}.{hint}" if hint else message, node.where
    function = node.value[FUNCTION]
    if not isinstance(function.value, str):
        return f"{FUNCTION} must be text, not {without_places(function)!r}", function.where
    if not step_table.is_known(function.value):
        return step_table.unknown(function.value), function.where
    return None, None


def _move_makers(plan):
    for _ in plan.steps:
        late = next((each for each in _late_makers(plan) if _may_move(plan, each)), None)
        if late is None:
            return
        maker, reader = plan.steps.pop(late.maker), plan.steps[late.reader]
        plan.steps.insert(late.reader, maker)
        plan.moved.append(
            f"{find(reader.node, late.keys).where}: target {plan.target}: step {maker.name} runs "
            f"before {reader.name}, which reads {late.path} that it makes"
        )


def _may_move(plan, late):
    """Whether a step needs nothing of those that it would overtake."""
    text = str(plan.steps[late.maker].parameters)
    overtaken = plan.steps[late.reader : late.maker]
    if any(re.search(rf"\$[{{<]{re.escape(step.name)}[.}}>]", text) for step in overtaken):
        return False
    return not any(
        each.reader == late.maker and late.reader <= each.maker < late.maker
        for each in _readings(plan)
    )


def _unmade_warnings(plan):
    """A step that reads from a folder which only a later step makes."""
    for late in _late_makers(plan):
        reader, maker = plan.steps[late.reader], plan.steps[late.maker]
        yield (
            f"{find(reader.node, late.keys).where}: target {plan.target}: step {reader.name} reads "
            f"{late.path}, which step {maker.name} makes after it: steps run in the order of their "
            "names"
        )


class _Reading(NamedTuple):
    """A path at ``keys`` of one step in a folder that another one makes, both by their places."""

    reader: int
    maker: int
    keys: tuple
    path: str


def _late_makers(plan):
    return (each for each in _readings(plan) if each.maker > each.reader)


def _readings(plan):
    """Of each path that a step reads, the first step that makes its folder."""
    steps = [(step, parameters) for step, parameters, _ in resolved(plan)]
    made = [tuple(_made_folders(step, parameters)) for step, parameters in steps]
    for index, (step, parameters) in enumerate(steps):
        for keys, path in _read_paths(parameters, step.entry.reads):
            makers = (i for i, folders in enumerate(made) if f"{path}/".startswith(folders))
            if (maker := next(makers, None)) is not None:
                yield _Reading(index, maker, keys, path)


def _made_folders(step, parameters):
    """The folders that a step fills, with a slash behind them."""
    return (f"{path}/" for _, path in _paths_at(parameters, step.entry.makes))


def _paths_at(parameters, dotted_keys):
    for dotted in dotted_keys:
        keys, value = tuple(dotted.split(".")), parameters
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str) and value:
            yield keys, value.rstrip("/")


def _read_paths(value, reads, keys=()):
    """All texts under a key that names what is read, with the keys that lead there."""
    for key, item in value.items() if isinstance(value, dict) else ():
        if key in reads and isinstance(item, str):
            yield (*keys, key), item
        yield from _read_paths(item, reads, (*keys, key))


def _order_warnings(plan):
    by_name = sorted(plan.steps, key=lambda step: step.name)
    matches = [(step, re.match(r"\d+", step.name)) for step in by_name]
    numbered = [(step, int(match[0])) for step, match in matches if match]
    for (step, number), (later, next_number) in itertools.pairwise(numbered):
        if number > next_number:
            place = f"{step.node.where}: target {plan.target}: step {step.name}"
            yield f"{place} runs before {later.name}: steps run in the order of their names"
