"""A sweep file: what differs from cell to cell, which are left out, whose numbers are compared."""

import math
import os
import re
from dataclasses import dataclass, field

from cirtorch.utils.errors import suggest
from mdir.registry import Problem
from mdir.scenario.sources import SCENARIOS, Reader, Unreadable, find_file
from mdir.scenario.tree import Located, Node, Place, without_places
from mdir.sweep.comparison import Comparison, items_of, read_comparison, told
from mdir.sweep.resources import Resources, read_resources
from mdir.sweep.words import argument, label_of, labels_of, value_of

KEYS = ("axes", "exclude", "compare", "resources")
RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)")
MOST_CELLS = 10_000


@dataclass(frozen=True)
class Choice:
    """One value of an axis: its name in a cell's name, and the words that the command gets.

    ``nodes`` are the values of those words in the sweep file.
    """

    name: str
    value: str | int | float
    words: tuple[str, ...]
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Axis:
    """``key`` is dotted or, where the choices are overlays, a name; ``label`` the short form."""

    key: str
    label: str
    choices: list[Choice]
    place: Place
    is_dotted: bool


@dataclass
class Sweep:
    """A sweep file that was read; ``problems`` is what is wrong with it.

    ``exclude`` has ``{label: values}`` of the cells that are left out.
    """

    name: str
    path: str
    axes: list[Axis] = field(default_factory=list)
    exclude: list[dict[str, set]] = field(default_factory=list)
    compare: Comparison = field(default_factory=Comparison)
    resources: Resources = field(default_factory=Resources)
    problems: list[Located] = field(default_factory=list)

    @property
    def values(self) -> dict[str, list]:
        """The values of every axis by its label."""
        return {axis.label: [choice.value for choice in axis.choices] for axis in self.axes}


def read_sweep(text: str) -> Sweep:
    """Read a sweep file, which is looked for as scenarios are."""
    path = find_file(text, SCENARIOS)
    sweep = Sweep(os.path.splitext(os.path.basename(text))[0], path or text)
    if path is None:
        message = f"file not found, neither here nor under {SCENARIOS}"
        sweep.problems.append(Located(Problem((), message), Place(text)))
        return sweep
    reader = Reader()
    try:
        tree = reader.file(path)
    except Unreadable as error:
        sweep.problems.append(Located(Problem((), str(error)), error.place))
        return sweep
    sweep.problems += reader.problems
    _Reading(sweep).read(tree)
    return sweep


class _Reading:
    def __init__(self, sweep):
        self.sweep = sweep

    def problem(self, node, message):
        self.sweep.problems.append(Located(Problem((), message), node.where))

    def read(self, tree):
        for key, node in tree.value.items():
            if key not in KEYS:
                hint = suggest(key, KEYS) or f" Known: {', '.join(KEYS)}"
                self.problem(node, f"a sweep has no {key!r}.{hint}")
        if "axes" not in tree.value:
            self.problem(tree, "axes are missing; the last file of the command is the sweep file")
            return
        self._axes(tree.value["axes"])
        if "exclude" in tree.value:
            self._exclude(tree.value["exclude"])
        if "compare" in tree.value:
            self.sweep.compare = read_comparison(tree.value["compare"], self.sweep.values)
            self.sweep.problems += self.sweep.compare.problems
        if "resources" in tree.value:
            found, problems = read_resources(tree.value["resources"])
            self.sweep.resources = found
            self.sweep.problems += problems

    def _axes(self, node):
        if not isinstance(node.value, dict) or not node.value:
            message = "axes is a mapping of dotted keys to values, and of names to overlays"
            self.problem(node, f"{message}, not {told(node)}")
            return
        axes = {key: child for key, child in node.value.items() if isinstance(key, str)}
        for key in node.value.keys() - axes.keys():
            self.problem(node.value[key], f"the key of an axis is text, not {key!r}")
        for (key, child), label in zip(axes.items(), labels_of(axes), strict=True):
            is_dotted = not isinstance(child.value, dict)
            choices = self._values(key, child) if is_dotted else self._overlays(child)
            if not choices:
                continue
            self._refuse_twins(child, choices)
            self.sweep.axes.append(Axis(key, label, choices, child.where, is_dotted))
        count = math.prod(len(axis.choices) for axis in self.sweep.axes)
        if count > MOST_CELLS:
            self.problem(node, f"the axes make {count} cells; more than {MOST_CELLS} is a mistake")

    def _values(self, key, node):
        if isinstance(node.value, list):
            items = node.value
            if not items:
                message = "an axis without values makes no cell; give it some or take it away"
                self.problem(node, message)
        elif isinstance(node.value, str) and RANGE.fullmatch(node.value):
            items = [node]
        else:
            message = "the values of an axis are a list, or a range such as 0..4"
            self.problem(node, f"{message}, not {told(node)}")
            items = []
        return [choice for item in items for choice in self._choices(key, item)]

    def _choices(self, key, item):
        numbers = self._range(item)
        values = [without_places(item)] if numbers is None else numbers
        return [one for value in values for one in self._choice(key, item, value)]

    def _range(self, node) -> range | None:
        """The whole numbers that a text stands for; None where it is something else."""
        whole = RANGE.fullmatch(node.value) if isinstance(node.value, str) else None
        if whole is None:
            return None
        numbers = range(int(whole[1]), int(whole[2]) + 1)
        if not 0 < len(numbers) <= MOST_CELLS:
            self.problem(node, f"the range {node.value} is empty or too long; it is FIRST..LAST")
            return range(0)
        return numbers

    def _choice(self, key, node, value):
        try:
            word = argument(key, value)
        except ValueError as error:
            self.problem(node, str(error))
            return []
        value = value_of(value)
        return [Choice(label_of(value), value, (word,), (node,))]

    def _overlays(self, node):
        if not node.value:
            self.problem(node, "an axis without overlays makes no cell; give it some, NAME: FILE")
        found = []
        for name, child in node.value.items():
            words = self._overlay(child)
            value = value_of(name)
            nodes = tuple(each for _, each in words)
            found.append(Choice(label_of(value), value, tuple(word for word, _ in words), nodes))
        return found

    def _overlay(self, node) -> list[tuple[str, Node]]:
        """The words of an overlay: files, and the settings of mappings, in their order."""
        words = []
        for item in [] if node.value is None else items_of(node):
            if isinstance(item.value, dict):
                words += [
                    one for key, each in item.value.items() for one in self._setting(key, each)
                ]
            else:
                words.append((self._file(item), item))
        return words

    def _setting(self, key, node):
        try:
            return [(argument(str(key), without_places(node)), node)]
        except ValueError as error:
            self.problem(node, f"{error}; an overlay file can")
            return []

    def _file(self, node):
        text = node.value
        if not isinstance(text, str) or not text.endswith(".yml"):
            self.problem(
                node, f"an overlay is a .yml file, settings or a list of them, not {told(node)}"
            )
            return ""
        beside = os.path.normpath(os.path.join(os.path.dirname(self.sweep.path), text))
        found = next(filter(None, (find_file(each, SCENARIOS) for each in (text, beside))), None)
        if found is None:
            message = f"{text}: file not found, neither here nor beside the sweep file"
            self.problem(node, f"{message} nor under {SCENARIOS}")
        return found or ""

    def _refuse_twins(self, node, choices):
        names = [choice.name for choice in choices]
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                self.problem(
                    node, f"two values of the axis are called {name!r}; their cells would be one"
                )

    def _exclude(self, node):
        for item in items_of(node):
            if not isinstance(item.value, dict) or not item.value:
                message = "exclude is a list of mappings, an axis to a value or to a list of them"
                self.problem(item, f"{message}, not {told(item)}")
                continue
            rules = {}
            for key, child in item.value.items():
                rules |= self._rule(key, child)
            self.sweep.exclude.append(rules)

    def _rule(self, key, node):
        axes = {name: axis for axis in self.sweep.axes for name in (axis.label, axis.key)}
        if key not in axes:
            hint = f"{suggest(key, axes)} Axes: {', '.join(self.sweep.values)}"
            self.problem(node, f"there is no axis {key!r}.{hint}")
            return {}
        axis, values = axes[key], set()
        names = [choice.name for choice in axis.choices]
        for item in items_of(node):
            numbers = self._range(item)
            given = [without_places(item)] if numbers is None else numbers
            known = {name for each in given if (name := label_of(value_of(each))) in names}
            if not known:
                name = label_of(value_of(without_places(item)))
                hint = f"{suggest(name, names)} Its values: {', '.join(names)}"
                self.problem(item, f"{axis.label} has no value {name}.{hint}")
            values |= known
        return {axis.label: values}
