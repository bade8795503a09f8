"""Dotted keys (``learning.training.epochs``) of a section, as few regular expressions.

A route is a tuple of segments, each the expression of one part of a key. In front of a route,
``*`` and an expression stand for any number of such parts.
"""

import functools
import json
import re
import typing
from collections.abc import Iterable

from mdir import registry

REST = ".+"
Route = tuple[str, ...]
Found = Iterable[tuple[Route, dict]]


class Routes:
    """Finds the ``(route, schema)`` below an annotation; schemas are those of ``definitions``."""

    def __init__(self, definitions):
        self.definitions = definitions
        self._open: list[str] = []
        self._known: dict[tuple, Found] = {}

    def of_kind(self, kind: str, beside=None, foreign: frozenset = frozenset()) -> Found:
        """Routes of a section, whichever component it names; members have no ``foreign`` name."""
        if kind in self._open:
            return []
        asked = (kind, beside, foreign)
        if asked not in self._known:
            self._open.append(kind)
            components = [registry.lookup(kind, name) for name in registry.names(kind)]
            components += [beside] if beside else []
            self._known[asked] = self._of_components(kind, components, foreign)
            self._open.pop()
        return self._known[asked]

    def of_component(self, component, member: str = "[^.]+") -> Found:
        """Routes of the parameters of a component; ``member``: the expression of further keys."""
        fields, others = registry.schema(component)
        for name, field in fields.items():
            key = re.escape(name)
            yield (key,), self.definitions.parameter(field)
            yield from self._below(key, field.annotation)
        if others not in (None, typing.Any):
            yield (member,), self.definitions.value(others)
            yield from self._below(member, others)

    def _below(self, key, annotation):
        for route, schema in self._of_annotation(annotation):
            yield (key, *route), schema

    def _of_annotation(self, annotation):
        found = [(part, _section(part)) for part in registry.unchecked_arms(annotation)]
        kinds = {section.kind for _, section in found if section}
        for part, section in found:
            if section:
                foreign = (name for kind in kinds - {section.kind} for name in _names(kind))
                yield from self.of_kind(section.kind, section.beside, frozenset(foreign))
            else:
                yield from self._of_part(part)

    def _of_part(self, part):
        if isinstance(part, registry.Holds):
            return self._of_annotation(part.contents)
        if isinstance(part, registry.Named):
            names = registry.names(part.kind)
            return [each for name in names for each in self._of_named(part, name)]
        if part in (dict, typing.Any):
            return [((REST,), {})]
        if typing.get_origin(part) is dict:
            values = typing.get_args(part)[1]
            return [(("[^.]+",), self.definitions.value(values)), *self._below("[^.]+", values)]
        return self.of_component(part.signature) if isinstance(part, registry.Options) else []

    def _of_named(self, named, name):
        key = named.prefix.replace("*", "*?") + name
        yield (key,), self.definitions.named(named, name)
        for route, schema in self.of_component(registry.lookup(named.kind, name)):
            yield (key, *route), schema

    def _of_components(self, kind, components, foreign):
        key = registry.KINDS[kind].key
        found: list[tuple[Route, dict]] = [((key,), {})] if key else []
        for component in components:
            found += self.of_component(component, f"{_none_of(_names(kind) | foreign)}[^.]+")
        within = _names(kind, within=True)
        if within:
            member = f"*{_none_of(_names(kind) - within | foreign)}[^.]+"
            found = [((member, *route), schema) for route, schema in found]
        return found


def patterns(routes: Found) -> dict[str, dict]:
    """``{expression of whole keys, markers included: schema}`` for keys of two parts and more."""
    schemas: dict[Route, dict] = {}
    for route, schema in routes:
        schemas.setdefault(route, {})[json.dumps(schema)] = schema
    groups: dict[str, list[Route]] = {}
    for route, found in schemas.items():
        schema = {} if "{}" in found else {"anyOf": list(found.values())}
        schema = next(iter(found.values())) if len(found) == 1 else schema
        groups.setdefault(json.dumps(schema), []).append(route)
    return {
        f"^(?=.*\\.){_expression(_tree(group))}[*+?]?$": json.loads(t)
        for t, group in groups.items()
    }


def _section(part):
    """The section that a part of an annotation stands for, or None."""
    part = part.contents if isinstance(part, registry.Holds) else part
    return part if isinstance(part, registry.Section) else None


def _names(kind, within=False):
    """All parameters of a kind; ``within``: those that are sections of that same kind."""
    found = set() if within else {registry.KINDS[kind].key} - {None}
    for component in map(functools.partial(registry.lookup, kind), registry.names(kind)):
        fields, others = registry.schema(component)
        for name, annotation in [*((n, f.annotation) for n, f in fields.items()), ("", others)]:
            kinds = [
                each.kind for each in map(_section, registry.unchecked_arms(annotation)) if each
            ]
            if not within or kind in kinds:
                found.add(name)
    return found


def _none_of(names):
    return f"(?!(?:{'|'.join(map(re.escape, sorted(names)))})(?:\\.|$))"


def _tree(routes):
    tree: dict = {}
    for route in routes:
        level = tree
        for segment in route:
            level = level.setdefault(segment, {})
        level[None] = {}
    return tree


def _expression(tree):
    rests: dict[tuple, list[str]] = {}
    for segment, below in tree.items():
        if segment is not None:
            rest = _expression({key: item for key, item in below.items() if key is not None})
            rests.setdefault((rest, None in below, segment.startswith("*")), []).append(segment)
    options = []
    for (rest, ends, repeats), segments in rests.items():
        if repeats:
            options += [f"(?:{segment[1:]}\\.)*{rest}" for segment in segments]
        elif not rest:
            options.append(_group(segments))
        else:
            options.append(_group(segments) + (f"(?:\\.{rest})?" if ends else f"\\.{rest}"))
    return _group(options) if options else ""


def _group(options):
    return options[0] if len(options) == 1 else f"(?:{'|'.join(options)})"
