"""YAML files and ``key=value`` arguments -> trees in which every value knows its place."""

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import yaml

import mdir
from cirtorch.utils.general import checkout
from mdir.registry import Problem
from mdir.scenario.tree import Located, Node, Place

_CHECKOUT = checkout()
SCENARIOS = str(_CHECKOUT / "scenarios" if _CHECKOUT else Path(mdir.__file__).parent / "_scenarios")
MARKERS = ("*", "+", "?")  # at the end of a key: how it covers
MAX_NODES = 200_000
MAX_DEPTH = 100
MOST = 2**64 - 1  # the largest whole number that anything takes, a seed of torch
MERGE = "tag:yaml.org,2002:merge"
COLLECTIONS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Unreadable(Exception):
    """A source is of no use at all; the message says why."""

    def __init__(self, place, message):
        self.place = place
        super().__init__(message)


class Reader:
    """Reads the sources of one scenario.

    ``problems`` collects what is wrong but readable, ``warnings`` what is of no effect.

    Files are parsed once and unshared at every use: an alias is an independent copy. The number
    of values over all uses is bounded, so that aliases or templates of aliases cannot explode.
    """

    def __init__(self):
        self.problems: list[Located] = []
        self.warnings: list[str] = []
        self._parsed = {}
        self._left = MAX_NODES

    def file(self, path: str, at: tuple = ()) -> Node:
        """The tree of a YAML file, always a mapping (an empty file is an empty one).

        Args:
            path: the file.
            at: the keys under which it is put, for messages.

        Raises:
            Unreadable: the file is absent, or not a mapping in YAML.
        """
        if path not in self._parsed:
            self._parsed[path] = _compose(_read_text(path), path)
        root = self._parsed[path]
        if root is None:
            return Node({}, Place(path, 1, 1))
        if not isinstance(root, yaml.MappingNode):
            raise Unreadable(_place(path, root), "the top of a scenario file must be a mapping")
        return _Unsharing(self, path).convert(root, at)

    def argument(self, text: str) -> Node:
        """The tree of ``a.b.c=VALUE``: VALUE is JSON, or else the text that it is.

        Raises:
            Unreadable: the text is not such an assignment.
        """
        place = Place(text, is_file=False)
        key, equals, value = text.partition("=")
        parts = key.split(".")
        if not equals:
            raise Unreadable(place, "neither a .yml file nor key=value")
        if not all(parts):
            raise Unreadable(place, f"the key {key!r} has an empty part")
        node = _from_plain(_argument_value(value, place), place)
        for part in reversed(parts):
            node = Node({part: node}, place, node.key_place)
            node.value[part].key_place = place
        return node

    def spend(self, place):
        """Count one more value; too many are refused."""
        self._left -= 1
        if self._left < 0:
            message = f"more than {MAX_NODES} values once aliases and templates are written out"
            raise Unreadable(place, message)


class _Unsharing:
    """From PyYAML's graph, in which an alias is a shared node, to a tree of our own."""

    def __init__(self, reader, path):
        self.reader, self.path = reader, path
        self.scalars = yaml.constructor.SafeConstructor()
        self.open = []

    def convert(self, node, at: tuple = ()) -> Node:
        place = _place(self.path, node)
        self.reader.spend(place)
        if any(node is outer for outer in self.open):
            raise Unreadable(place, "an alias stands inside the very value that it repeats")
        if len(self.open) >= MAX_DEPTH:
            raise Unreadable(place, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(node, yaml.ScalarNode):
            return Node(self._scalar(node, place), place)
        if node.tag not in COLLECTIONS:
            raise Unreadable(place, f"the tag {node.tag!r} is not admitted")
        self.open.append(node)
        if isinstance(node, yaml.SequenceNode):
            value = [self.convert(item, (*at, index)) for index, item in enumerate(node.value)]
            found = Node(value, place)
        else:
            value, ranks = self._mapping(node, at)
            found = Node(value, place, ranks=ranks)
        self.open.pop()
        return found

    def _mapping(self, node, at):
        sources: list[Node] = []
        own: dict[Any, Node] = {}
        for key_node, value_node in node.value:
            place = _place(self.path, key_node)
            if key_node.tag == MERGE:
                sources = [*self._merge(value_node, at), *sources]
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise Unreadable(place, "a key must be a plain value, not a mapping or list")
            key = self._scalar(key_node, place)
            child = self.convert(value_node, (*at, key))
            child.key_place = place
            if key == "" or key != key:
                told = "empty text" if key == "" else "not a number (.nan), which equals nothing"
                self.reader.problems.append(Located(Problem(at, f"the key is {told}"), place))
            elif message := _told_twice(own, key):
                self.reader.problems.append(Located(Problem((*at, key), message), place))
            else:
                for other in replaced(own, key, child):
                    line = child.where.line
                    self.reader.warnings.append(
                        f"{own.pop(other).where}: {other} is of no effect, {key} in line {line} "
                        "replaces it"
                    )
                own[key] = child
        result: dict[Any, Node] = {}
        for layer in (*[source.value for source in reversed(sources)], own):
            for key, child in layer.items():
                for other in replaced(result, key, child):
                    del result[other]
                result[key] = child
        return result, _ranks(own, sources)

    def _merge(self, node, at) -> list[Node]:
        """What ``<<: *alias`` or ``<<: [*first, *second]`` brings; earlier ones win."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                raise Unreadable(_place(self.path, source), "<< needs a mapping or a list of them")
        return [self.convert(source, at) for source in sources]

    def _scalar(self, node, place):
        if node.tag == "tag:yaml.org,2002:value":
            return node.value
        try:
            return self.scalars.construct_object(node)
        except yaml.constructor.ConstructorError as error:
            raise Unreadable(place, error.problem) from None
        except (ValueError, OverflowError) as error:
            raise Unreadable(place, f"cannot read {node.value!r}: {error}") from None


def _ranks(own, sources):
    ranks: dict[Any, int] = {}
    nearest = 1
    for source in sources:
        found = {key: nearest + source.ranks.get(key, 0) for key in source.value}
        ranks = {**found, **ranks}
        nearest = max(found.values(), default=nearest) + 1
    return {key: rank for key, rank in ranks.items() if key not in own}


def find_file(name: str, scenarios: str) -> str | None:
    """A scenario file as given, or under the folder of scenarios; None where there is none."""
    for path in (name, os.path.join(scenarios, name)):
        if os.path.isfile(path):
            return path
    return None


def _read_text(path):
    try:
        with open(path, "rb") as file:
            data = file.read()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise Unreadable(Place(path), error.strerror) from None
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise Unreadable(Place(path, line, column), "this is not UTF-8 text") from None


def _compose(text, path):
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    except yaml.reader.ReaderError as error:
        line, column = _line_column(text, error.position)
        message = f"the character {error.character!r} is not allowed in YAML"
        raise Unreadable(Place(path, line, column), message) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(path, mark.line + 1, mark.column + 1) if mark else Place(path)
        words = ", ".join(filter(None, (error.problem, error.context)))
        raise Unreadable(place, f"not YAML: {words}") from None
    except RecursionError:
        raise Unreadable(Place(path), f"nested deeper than {MAX_DEPTH} levels") from None
    finally:
        loader.dispose()


def _line_column(text, position):
    before = text[:position]
    return before.count("\n") + 1, position - before.rfind("\n")


def _place(path, node):
    return Place(path, node.start_mark.line + 1, node.start_mark.column + 1)


def _argument_value(text, place):
    """What JSON makes of a text, or the text itself: a path or a name comes through as it is."""
    refused: list[str] = []  # what is JSON, or nearly, but has no value
    try:
        value = json.loads(
            text,
            object_pairs_hook=lambda pairs: _pairs(pairs, refused),
            parse_constant=lambda word: refused.append(_no_number(word)),
            parse_float=lambda word: _number(float, word, refused),
            parse_int=lambda word: _number(int, word, refused),
        )
    except ValueError:
        return text
    except RecursionError:
        raise Unreadable(place, f"nested deeper than {MAX_DEPTH} levels") from None
    if refused:
        raise Unreadable(place, refused[0])
    return value


def _number(kind, word, refused):
    """A number of JSON unless it has too many digits, overflows or vanishes."""
    value = kind(word) if kind is float or len(word) < len(str(MOST)) + 2 else MOST + 1
    vanishes = value == 0 and re.search("[1-9]", re.split("[eE]", word)[0])
    too_large = abs(value) > MOST if kind is int else math.isinf(value)
    if vanishes or too_large:
        refused.append(_no_number(word))
    return value


def _no_number(word):
    shown = word if len(word) <= 40 else f"{word[:40]}..."
    return f'{shown} is not a number that can be kept; text of that form is written "{shown}"'


def plain_key(key):
    """A key without its marker."""
    if isinstance(key, str) and key.endswith(MARKERS):
        return key[:-1]
    return key


def twins(mapping: dict, key) -> list:
    """The other keys of a mapping that say something of the same one, ``k``, ``k*`` or ``k+``."""
    if not isinstance(key, str):
        return []
    stem = plain_key(key)
    return [
        each for each in (stem, *(stem + m for m in MARKERS)) if each in mapping and each != key
    ]


def replaced(mapping: dict[Any, Node], key, value: Node) -> list:
    """The twins of which nothing is left once ``key: value`` has covered them."""
    if str(key).endswith(("+", "?")):
        return []
    found = twins(mapping, key)
    if str(key).endswith("*") or not isinstance(value.value, dict):
        return found
    return [each for each in found if not isinstance(mapping[each].value, (dict, list))]


def _told_twice(own, key):
    """What is wrong with one more key of a mapping; ``k``, ``k*`` and ``k+`` may stand together."""
    if key in own:
        return f"duplicate key {key!r} (first in line {own[key].where.line})"
    for other in twins(own, key):
        if str(key).endswith("?") or other.endswith("?"):
            line = own[other].where.line
            return f"{other!r} says of the same key as {key!r} (first in line {line})"
    return None


def _pairs(pairs, refused):
    result = dict(pairs)
    if len(result) < len(pairs):
        refused.append("duplicate key in the value")
    return result


def _from_plain(value, place, depth=0) -> Node:
    if depth > MAX_DEPTH:
        raise Unreadable(place, f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        value = {key: _from_plain(item, place, depth + 1) for key, item in value.items()}
        for child in value.values():
            child.key_place = place
    elif isinstance(value, list):
        value = [_from_plain(item, place, depth + 1) for item in value]
    return Node(value, place)
