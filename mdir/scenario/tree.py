"""The tree of a scenario: plain values that remember where they were written, and problems."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mdir.errors import UserError
from mdir.registry import Problem

FUNCTION = "__function__"


@dataclass(frozen=True)
class Place:
    """Where something was written: a file with line and column (from 1), or an argument."""

    source: str
    line: int | None = None
    column: int | None = None
    is_file: bool = True

    def __str__(self):
        if not self.is_file:
            return f"argument {self.source!r}"
        return self.source if self.line is None else f"{self.source}:{self.line}:{self.column}"


@dataclass
class Node:
    """A value with its place: ``{key: Node}``, ``[Node]`` or a scalar.

    ``queue`` holds what is to cover a mapping whose ``__template__`` is not read yet. ``ranks``
    tells of keys that ``<<`` brought how far they come from: what is nearer wins, own keys (0) win
    over all.
    """

    value: Any
    place: Place
    key_place: Place | None = None
    queue: list["Node"] = field(default_factory=list)
    ranks: dict[Any, int] = field(default_factory=dict)

    @property
    def where(self) -> Place:
        """The place a person looks for: that of the key, or of the value in a list."""
        return self.key_place or self.place


@dataclass(frozen=True)
class Located:
    """A problem, its path that of target, step, key ..., and where it was written."""

    problem: Problem
    place: Place | None

    def __str__(self):
        path, message = self.problem.path, self.problem.message
        words = [f"{word} {part}" for word, part in zip(("target", "step"), path, strict=False)]
        if len(path) > 2:
            words.append("key " + ".".join(map(str, path[2:])))
        lead = f"{self.place}: " if self.place else ""
        return lead + (", ".join(words) + ": " if words else "") + message


def distinct(problems: Iterable[Located]) -> list[Located]:
    """The first of those that say the same of the same place."""
    first = {(each.place, each.problem.message): each for each in reversed(list(problems))}
    return list(reversed(first.values()))


class ScenarioError(UserError, ValueError):
    """A scenario cannot be performed; ``problems`` lists everything that is wrong with it.

    ``note`` says what has not been looked at.
    """

    def __init__(self, problems, note=None):
        self.note = note
        self.problems = distinct(problems)
        super().__init__("\n".join(map(str, self.problems)))


def refuse(problems: Iterable[Located], note: str | None = None) -> list[str]:
    """The texts of the warnings among problems; ``note`` is that of the error.

    Raises:
        ScenarioError: with the others, if there are any.
    """
    problems = list(problems)
    errors = [each for each in problems if not each.problem.warns]
    if errors:
        raise ScenarioError(errors, note)
    return [str(each) for each in distinct(problems)]


def without_places(node: Node):
    """The values of a tree without their places; nothing is shared with it."""
    if isinstance(node.value, dict):
        return {key: without_places(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [without_places(child) for child in node.value]
    return node.value


def find(node: Node, path) -> Node:
    """The node at a path of keys and indices, or the last one on the way that exists.

    What a variable stands for has no nodes of its own.
    """
    for part in path:
        if isinstance(node.value, str):
            break
        try:
            node = node.value[part]
        except (KeyError, IndexError, TypeError):
            break
    return node


def kind(value) -> str:
    """What a value is, in words."""
    kinds = {dict: "a mapping", list: "a list", str: "text", type(None): "null"}
    return kinds.get(type(value), repr(value))
