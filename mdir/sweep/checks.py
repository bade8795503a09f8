"""All that can be wrong with a sweep, looked for before any of its cells starts."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from cirtorch.utils.errors import suggest
from mdir.caches import without_caches
from mdir.registry import Problem
from mdir.scenario.checks import check_target
from mdir.scenario.journal import digest
from mdir.scenario.plan import Plan, load_scenario, sketch, unknown_targets, written_places
from mdir.scenario.tree import Located, find, refuse
from mdir.scenario.variables import Pending, Resolver
from mdir.stages import STEPS
from mdir.sweep.cells import Cell
from mdir.sweep.definition import Sweep


def plan_cells(sweep: Sweep, cells: Sequence[Cell], target: str, whole: bool) -> dict[str, Plan]:
    """The plan of every cell by its name.

    Args:
        whole: check the parameters of all steps as well, for which these are imported.

    Raises:
        ScenarioError: with every problem of the sweep file and of all cells.
    """
    plans, problems, bad = {}, list(sweep.problems), []
    for cell in cells if not problems else ():
        plan, found = _plan(cell, target, whole)
        plans[cell.name] = plan
        if not all(each.problem.warns for each in found):
            bad.append(cell.name)
        problems += [_in_sweep_file(cell, each) for each in found]
    if plans and not bad:
        problems += [*_uncomparable_steps(sweep, plans), *_stdin(plans)]
        problems += [*_same_runs(sweep, cells, plans), *_same_folders(cells, plans)]
    if not cells and not problems:
        problems.append(Located(Problem((), "exclude leaves no cell"), None))
    note = f"found in {len(bad)} of {len(cells)} cells, first in {bad[0]}" if bad else None
    refuse(problems, note)
    return plans


def _plan(cell, target, whole):
    scenario = load_scenario(cell.layers, collect=True, cell=cell.name)
    unknown = unknown_targets(scenario)
    problems = [*scenario.problems, *unknown.values()]
    if target in unknown or not whole:
        plan, found = sketch(scenario, target)
    else:
        plan, found = check_target(scenario, target, problems)
    return plan, [*problems, *found]


def _in_sweep_file(cell, located):
    """A problem with its place in the sweep file, where a setting from there has it."""
    place = located.place
    node = cell.settings.get(place.source) if place and not place.is_file else None
    if node is None:
        return located
    inner = located.problem.path[len(place.source.partition("=")[0].split(".")) :]
    return Located(located.problem, find(node, inner).where)


def _uncomparable_steps(sweep, plans):
    for name, step in sweep.compare.steps.items():
        found = (_why_not_compared(cell, plan, step) for cell, plan in plans.items())
        if message := next(filter(None, found), None):
            yield Located(Problem((), f"compare: {message}"), sweep.compare.places[name])


def _why_not_compared(cell, plan, name):
    steps = {step.name: step for step in plan.steps}
    if name not in steps:
        hint = f"{suggest(name, steps)} Steps: {', '.join(steps)}"
        return f"cell {cell} has no step {name!r}.{hint}"
    if not _may_measure(steps[name]):
        able = [each for each, step in steps.items() if _may_measure(step)]
        known = f"Steps that do: {', '.join(able)}" if able else "No step of the target does"
        return f"{name} ({steps[name].function}) gives no numbers. {known}"
    return None


def _may_measure(step):
    return step.entry.measures or step.function not in STEPS


def _stdin(plans):
    for plan in plans.values():
        for step in plan.steps:
            if step.entry.reads_stdin(step.parameters):
                message = "reads the lines of standard input, which cells of a sweep have not"
                yield from plan.locate(step, [Problem((), message)])


def _same_runs(sweep, cells, plans) -> Iterator[Located]:
    """Cells that would do the very same: what sets them apart has no effect."""
    first: dict[str, Cell] = {}
    for cell in cells:
        key = digest([each for _, each in contents(plans[cell.name])])
        other = first.setdefault(key, cell)
        if other is not cell:
            label = next(label for label in cell.axes if cell.axes[label] != other.axes[label])
            message = f"cells {other.name} and {cell.name} are the same run: no step reads this"
            axis = next(axis for axis in sweep.axes if axis.label == label)
            yield Located(Problem((), message), axis.place)


def _same_folders(cells, plans) -> Iterator[Located]:
    """Steps of two cells that differ and would write to the same place."""
    makers: dict[str, dict[str, tuple]] = defaultdict(dict)  # place -> cell -> keys, step, content
    for cell in cells:
        plan = plans[cell.name]
        for (step, parameters), content in contents(plan):
            for keys, place in written_places(step, parameters):
                known = makers[place].get(cell.name, (step, keys, []))
                makers[place][cell.name] = (*known[:2], [*known[2], content])
    axes = {cell.name: cell.axes for cell in cells}
    told = set()
    for place, found in makers.items():
        (first, (_, _, made)), *others = found.items()
        others = [(name, one) for name, one in others if one[2] != made]
        if others:
            name, (step, keys, _) = others[0]
            apart = " and ".join(_apart(axes[first], [axes[other] for other, _ in others]))
            message = (
                f"cells {first} and {name} would both write {place}; let this key differ with "
                f"{apart}, or put ${{SWEEP_CELL}} into it"
            )
            if (step.name, keys) not in told:
                yield from plans[name].locate(step, [Problem(keys, message)])
            told.add((step.name, keys))


def _apart(axes, others):
    """The axes that alone set a cell apart from some other one; else all that do."""
    differing = [{key for key in axes if axes[key] != other[key]} for other in others]
    alone = set().union(*(keys for keys in differing if len(keys) == 1)) or differing[0]
    return [key for key in axes if key in alone]


def contents(plan: Plan) -> list[tuple[tuple, str]]:
    """``((step, resolved parameters), digest)`` of the steps.

    The digest is that of all that a step does, as far as it is known before any runs: steps of two
    cells with the same one are made once.
    """
    context, found = plan.context(), []
    digests: dict[str, str] = {}
    writing: set[str] = set()
    for step in plan.steps:
        context.add(step.name, step.function, step.parameters)
        resolver = Resolver(context)
        parameters = resolver.resolve(step.parameters)
        # of a step without files nothing but values is taken, which stand among the parameters
        names = resolver.waiting | (resolver.steps & writing)
        before = [digests[name] for name in sorted(names - {step.name})]
        digests[step.name] = digest([step.name, step.function, without_caches(parameters), before])
        found.append(((step, parameters), digests[step.name]))
        if any(written_places(step, parameters)):
            writing.add(step.name)
        context.finish(step.name, parameters, Pending(step.name))
    return found
