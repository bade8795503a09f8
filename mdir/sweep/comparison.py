"""The section ``compare`` of a sweep file: whose numbers the table shows, and beside what."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cirtorch.utils.errors import suggest
from mdir.registry import Problem
from mdir.scenario.tree import Located, Node, Place, find, kind, without_places
from mdir.sweep.words import value_of

KEYS = ("steps", "differences", "seeds", "published")


@dataclass
class Comparison:
    """``steps`` by what the table calls them, with their ``places`` in the sweep file.

    ``differences`` are ``(axis, from, to)`` of values of an axis, or ``(None, from, to)`` of steps.
    ``seeds`` are axes whose values are draws, None: those that are called so; ``published`` is
    ``{"table": name, "rows": {row: {axis: value}}}``.
    """

    steps: dict[str, str] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    differences: list[tuple[str | None, Any, Any]] = field(default_factory=list)
    seeds: list[str] | None = None
    published: dict[str, Any] | None = None
    problems: list[Located] = field(default_factory=list)


def read_comparison(node: Node, axes: Mapping[str, Sequence]) -> Comparison:
    """Read the section; ``axes`` are all axes of the sweep with their values."""
    reading = _Reading(axes)
    reading.read(node)
    return reading.found


class _Reading:
    def __init__(self, axes):
        self.axes, self.found = axes, Comparison()

    def problem(self, node, message):
        self.found.problems.append(Located(Problem((), message), node.where))

    def read(self, node):
        parts = node.value if isinstance(node.value, dict) else {"steps": node}
        for key, child in parts.items():
            if key not in KEYS:
                hint = suggest(key, KEYS) or f" Known: {', '.join(KEYS)}"
                self.problem(child, f"compare has no {key!r}.{hint}")
        if "steps" not in parts:
            self.problem(node, "compare lacks steps, those whose numbers make the table")
            return
        self._steps(parts["steps"])
        readers = {
            "seeds": self._seeds,
            "differences": self._differences,
            "published": self._published,
        }
        for key, read in readers.items():
            if key in parts:
                read(parts[key])

    def _steps(self, node):
        if isinstance(node.value, dict):
            items = list(node.value.items())
        else:
            items = [(item.value, item) for item in items_of(node)]
        for name, item in items:
            if not isinstance(item.value, str) or not item.value:
                message = "what is compared is a step, a list of steps or a mapping, NAME: STEP"
                self.problem(item, f"{message}, not {told(item)}")
                continue
            self.found.steps[str(name)] = item.value
            self.found.places[str(name)] = item.where

    def _differences(self, node):
        for item in items_of(node):
            if not isinstance(item.value, dict):
                self._difference(None, item, list(self.found.steps), str)
                continue
            for axis, pair in item.value.items():
                if axis in self.axes and _is_seed(axis, self.found.seeds):
                    message = f"differences: values of {axis} are draws, which nothing sets apart"
                    self.problem(pair, message)
                elif self._is_axis(item, axis):
                    self._difference(axis, pair, self.axes[axis], value_of)

    def _difference(self, axis, node, known, read):
        """A pair of values of an axis, or of names of steps."""
        pair = without_places(node)
        if not (isinstance(pair, list) and len(pair) == 2):
            message = "a difference is a pair of steps, [FROM, TO], or of values of an axis"
            self.problem(node, f"{message}, {{AXIS: [FROM, TO]}}, not {told(node)}")
            return
        before, after = map(read, pair)
        for name in (before, after):
            if name not in known:
                names = list(map(str, known))
                hint = f"{suggest(str(name), names)} Known: {', '.join(names)}"
                self.problem(node, f"differences: nothing compared is called {name!r}.{hint}")
        self.found.differences.append((axis, before, after))

    def _is_axis(self, node, name):
        if name not in self.axes:
            hint = f"{suggest(name, self.axes)} Axes: {', '.join(self.axes)}"
            self.problem(node, f"there is no axis {name!r}.{hint}")
        return name in self.axes

    def _seeds(self, node):
        self.found.seeds = []
        for item in items_of(node):
            self._is_axis(item, item.value)
            self.found.seeds.append(item.value)

    def _published(self, node):
        found = without_places(node)
        rows = found.get("rows") if isinstance(found, dict) else None
        if not isinstance(rows, dict) or set(found) != {"table", "rows"}:
            message = "published is a table and its rows, {table: NAME, rows: {ROW: {AXIS: VALUE}}}"
            self.problem(node, f"{message}, not {told(node)}")
            return
        for row, where in rows.items():
            if not isinstance(where, dict):
                message = f"the row is a mapping, AXIS: VALUE, not {where!r}"
                self.problem(find(node, ("rows", row)), message)
                return
        self.found.published = found
        self.found.problems += [
            Located(problem._replace(path=()), find(node, problem.path).where)
            for problem in _published_problems(found, self.axes, self.found)
        ]


def _published_problems(published, axes, comparison) -> Iterator[Problem]:
    from mdir.sweep.summary.published import Published, published_problems

    seeds = comparison.seeds
    several = {
        n: values for n, values in axes.items() if len(values) > 1 and not _is_seed(n, seeds)
    }
    return published_problems(Published(**published), several, list(comparison.steps))


def _is_seed(name, seeds):
    from mdir.sweep.summary.grid import is_seed

    return is_seed(name, seeds)


def items_of(node: Node) -> list[Node]:
    """The items of a list, or the one value that stands for it."""
    return node.value if isinstance(node.value, list) else [node]


def told(node: Node) -> str:
    """What was given, for a message."""
    return kind(node.value) if not isinstance(node.value, str) else repr(node.value)
