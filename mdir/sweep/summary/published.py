"""A sweep beside a published table."""

from collections.abc import Iterator, Mapping, Sequence

from mdir.errors import UserError
from mdir.registry import Problem, unknown
from mdir.report.comparison import compare_results
from mdir.report.published_tables import load_table
from mdir.report.tables import Table
from mdir.sweep.summary.cell_result import Published, Value
from mdir.sweep.summary.grid import Grid, label
from mdir.sweep.summary.statistics import of_settings
from mdir.sweep.words import value_of

STEP = "step"


def published_problems(
    published: Published, axes: Mapping[str, Sequence[Value]], steps: Sequence[str]
) -> Iterator[Problem]:
    """What of it fits neither the published table nor the sweep.

    Args:
        axes: those with several values that are no seeds, with all values. steps: all names.
    """
    try:
        known = load_table(published.table).rows
    except ValueError as error:
        yield Problem(("table",), str(error))
        return
    choices = {name: list(map(label, values)) for name, values in axes.items()}
    choices |= {STEP: list(steps)} if len(steps) > 1 else {}
    for row, where in published.rows.items():
        if row not in known:
            yield Problem(("rows", row), unknown("published row", row, known))
        for name, value in where.items():
            if name not in choices:
                yield Problem(("rows", row, name), unknown("axis", name, choices))
            elif (told := label(value_of(value))) not in choices[name]:
                yield Problem(("rows", row, name), unknown(name, told, choices[name]))
        if lacking := [name for name in choices if name not in where]:
            message = f"tell the value of {', '.join(lacking)}: a mean over several is no setting"
            yield Problem(("rows", row), message)


def published_table(grid: Grid, published: Published) -> Table:
    """The means of settings with their deviations beside the published numbers.

    Raises:
        UserError: it fits neither the published table nor the sweep.
    """
    for problem in published_problems(published, grid.axes, grid.steps):
        place = ".".join(map(str, problem.path))
        raise UserError(f"published: {place}: {problem.message}")
    results = {}
    for row, where in published.rows.items():
        setting = tuple(label(value_of(where[name])) for name in grid.axes)
        step = where.get(STEP, grid.steps[0] if grid.steps else "")
        means, spreads = {}, {}
        for metric, other in grid.columns:
            sample = of_settings(grid, metric, step).get(setting) if other == step else None
            if sample is not None and sample.values:
                means[metric], spreads[metric] = sample.mean, (sample.deviation, sample.count)
        results[row] = {"eval": means, "spreads": spreads}
    return compare_results(load_table(published.table), results, {})
