"""Dotted, nested and merged keys of one mapping -> the nested mapping that they tell together."""

from mdir.registry import Problem
from mdir.scenario.sources import replaced, twins
from mdir.scenario.tree import Located, Node, kind


class Joining:
    """Joins what stands in one mapping, in whatever order and spelling.

    Of what ``<<`` brought the nearer wins, own keys over all; of what is equally near, ``key*``
    comes first and ``key+`` last, and nothing may be told twice. ``problems`` takes what is.
    """

    def __init__(self, problems: list[Located]):
        self.problems = problems
        self._ranks: dict[int, tuple] = {}  # of a node, by its id: that of each key leading there
        self._levels: list[Node] = []  # the mappings that were joined

    def expand(self, node: Node, path: tuple) -> Node:
        """The mapping with the dotted keys of its own level nested; changed in place."""
        own, whole = dict(node.value), Node({}, node.place)
        for key in sorted(own, key=lambda key: -node.ranks.get(key, 0)):
            nested = self._nested(key, own[key], path)
            for first, value in nested.value.items():
                self._rank(value, (node.ranks.get(key, 0),))
                self._put(whole, first, value, path)
        for level in self._levels:
            found = {key: self._ranks[id(child)] for key, child in level.value.items()}
            steps = sorted(set(found.values()))
            level.ranks = {key: steps.index(rank) for key, rank in found.items()}
        node.value, node.ranks = whole.value, {}
        return node

    def _nested(self, key, value, path):
        """A mapping of the one key, or of its first part to a mapping of the rest."""
        parts = key.split(".") if isinstance(key, str) else [key]
        if len(parts) > 1 and not all(parts):
            self._problem(value, (*path, key), "a dotted key has an empty part")
            return Node({}, value.place)
        for part in reversed(parts):
            value = Node({part: value}, value.place, value.key_place)
        return value

    def _rank(self, node, rank):
        self._ranks[id(node)] = rank
        for key, child in node.value.items() if isinstance(node.value, dict) else ():
            self._rank(child, (*rank, node.ranks.get(key, 0)))

    def _put(self, level, key, value, path):
        """Put a setting into a mapping beside those that are there already."""
        here, there = (*path, key), level.value.get(key)
        if there is None:
            level.value[key] = value
        elif self._is_joined(key, there, value):
            self._levels.append(there)
            for each, child in value.value.items():
                self._put(there, each, child, here)
            there.queue += value.queue
            self._ranks[id(there)] = min(self._ranks[id(there)], self._ranks[id(value)])
        elif self._is_nearer(value, there):
            del level.value[key]
            level.value[key] = value
        elif not self._is_nearer(there, value):
            level.value[key] = self._one_of(there, value, here)
        self._order(level, key, path)

    def _is_joined(self, key, there, value):
        differ = self._ranks[id(there)] != self._ranks[id(value)]
        replaces = str(key).endswith("*") and differ
        return isinstance(there.value, dict) and isinstance(value.value, dict) and not replaces

    def _is_nearer(self, one, other):
        return self._ranks[id(one)] < self._ranks[id(other)]

    def _one_of(self, there, value, path):
        """Of two equally near ones: a null beside a mapping says nothing, all else is an error."""
        if isinstance(value.value, dict) and there.value is None:
            return value
        if isinstance(value.value, dict):
            message = f"{path[-1]!r} is {kind(there.value)} in {there.where}, not a mapping"
            self._problem(value, (*path, next(iter(value.value), "")), message)
        elif not (isinstance(there.value, dict) and value.value is None):
            self._twice(there, value, path)
        return there

    def _order(self, level, key, path):
        """Put the spellings of a key into the order in which they cover what lies below."""
        found = {each: level.value[each] for each in (key, *twins(level.value, key))}
        if len(found) < 2:
            return
        for each in found:
            del level.value[each]
        for each in sorted(found, key=lambda each: self._turn(each, found[each])):
            for other in replaced(level.value, each, found[each]):
                if self._is_nearer(found[each], found[other]):
                    del level.value[other]
                elif key in (each, other):
                    first = other if key == each else each
                    self._twice(found[first], found[key], (*path, key))
            level.value[each] = found[each]

    def _turn(self, key, node):
        marks = {"*": 0, "+": 2}
        return [-rank for rank in self._ranks[id(node)]], marks.get(str(key)[-1:], 1)

    def _twice(self, there, value, path):
        message = f"duplicate key {path[-1]!r} (first in line {there.where.line})"
        self._problem(value, path, message)

    def _problem(self, node, path, message):
        self.problems.append(Located(Problem(path, message), node.where))
