"""Annotations and kinds as JSON Schema: what an editor checks and offers.

A text with a ``${variable}`` is admitted everywhere, ``key*``, ``key+`` and ``key?`` as ``key`` is.
No parameter is required: a template or another layer may bring it. Where the naming key of a
section is absent, the parameters of all components of the kind are admitted.
"""

import functools
import json
import types
import typing

from mdir import registry
from mdir.registry.annotations import VARIABLE
from mdir.scenario.assist.components import argument_texts, documentation
from mdir.scenario.assist.dotted import Routes, patterns
from mdir.scenario.overlay import TEMPLATE

TYPES = {
    str: [{"type": "string"}],
    int: [{"type": "integer"}],
    bool: [{"type": "boolean"}],
    dict: [{"type": "object"}],
    None: [{"type": "null"}],
    types.NoneType: [{"type": "null"}],
    float: [
        {"type": "number"},
        {"type": "string", "pattern": r"^\s*[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"},
        {"type": "string", "pattern": r"^[-+]?([iI]nf(inity)?|[nN]a[nN])$"},
    ],
}
VARIABLE_TEXT = {"$ref": "#/$defs/variable"}
VARIABLE_KEY = r"\$[{<]"
ONLY = {"additionalProperties": False}
NOTES = ("description", "default")


class Definitions:
    """The ``$defs`` of a schema; every method gives a schema that may refer to them."""

    def __init__(self):
        self.defs = {"variable": {"type": "string", "pattern": VARIABLE.pattern}}
        self.sections = {}
        self.routes = Routes(self)

    def value(self, annotation) -> dict:
        """What a parameter of that annotation admits."""
        return either([self._one(part) for part in registry.unchecked_arms(annotation)])

    def parameter(self, field: registry.Field) -> dict:
        """As :meth:`value`; null may hold the place of what each use of a template fills in."""
        schema = self.value(field.annotation)
        return either([schema, {"type": "null"}]) if field.default is field.empty else schema

    def section(self, kind: str, beside=None) -> dict:
        """A mapping that names a component of a kind; ``beside``: a TypedDict of further keys."""
        name = f"{kind}.{beside.__name__}" if beside else kind
        self.sections[name] = self.define(name, lambda: self._kind(name, kind, beside))
        return self.sections[name]

    def fields(self, function) -> dict:
        """A mapping of the keys of a TypedDict, or of the parameters of a function or class."""
        name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self.sections[name] = self.define(
            name, lambda: _mapping([closed(*self.parameters(function))])
        )
        return self.sections[name]

    def named(self, named: registry.Named, name: str) -> dict:
        """What stands under the name of a component: its parameters, or some value for them."""
        component = registry.lookup(named.kind, name)

        def make():
            return {"if": {"type": "object"}, "then": closed(*self.parameters(component))}

        return self.define(f"{named.kind}.{name}", make)

    def union(self, components, extra: dict | None = None, others=False) -> dict:
        """A mapping with parameters of any of several components, those of open ones left out.

        With a schema ``others`` of further keys it may hold settings, too: a text under any name.
        """
        found: dict[str, list[dict]] = {}
        text = TYPES[str] if isinstance(others, dict) else []
        for component in components:
            fields, more = registry.schema(component)
            for key, field in fields.items():
                found.setdefault(key, []).append(self.parameter(field))
            if more not in (None, typing.Any):
                others = self.value(more)
        properties = {key: either([*schemas, *text]) for key, schemas in found.items()}
        return closed({**properties, **(extra or {})}, others, dotted=True)

    def parameters(self, component, extra: dict | None = None) -> tuple[dict, dict | bool]:
        """``(properties, schema of others or False)`` of a component, with words and defaults."""
        fields, others = registry.schema(component)
        texts = argument_texts(documentation(component))
        properties = dict(extra or {})
        for name, field in fields.items():
            schema = self.parameter(field)
            notes = {"description": texts[name]} if name in texts else {}
            if field.default is not field.empty and _is_json(field.default):
                notes["default"] = field.default
            if notes and "$ref" in schema:
                schema = {"allOf": [schema]}  # beside $ref draft 7 reads nothing
            properties[name] = {**notes, **schema}
        return properties, False if others is None else self.value(others)

    def define(self, name: str, make) -> dict:
        """A reference to a definition, made at its first use."""
        if name not in self.defs:
            self.defs[name] = {}  # a section may hold sections of its own kind
            self.defs[name] = make()
        return {"$ref": f"#/$defs/{name}"}

    def _one(self, part):
        if isinstance(part, registry.Section):
            return self.section(part.kind, part.beside)
        if isinstance(part, registry.Options):
            return self.fields(part.signature)
        if isinstance(part, registry.Holds):
            return self.value(part.contents)
        if isinstance(part, registry.Named):
            names = registry.names(part.kind)
            keys = {f"^{part.prefix}{name}[*+?]?$": self.named(part, name) for name in names}
            return {"type": "object", "patternProperties": free(keys), **ONLY}
        origin, arguments = typing.get_origin(part), typing.get_args(part)
        if origin is typing.Literal:
            return {"enum": list(arguments)}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.value(arguments[1])}
        if (origin or part) in (list, tuple):
            return _list(either([self.value(each) for each in arguments if each is not ...]))
        if part in TYPES:
            return either(TYPES[part], variable=False)
        return {}

    def _kind(self, name, kind, beside):
        key, names = registry.KINDS[kind].key, registry.names(kind)
        extra = self.parameters(beside)[0] if beside else {}
        if key is None:
            properties, others = self.parameters(registry.lookup(kind, ""), extra)
            unnamed = closed(properties, others, dotted=True)
            return _mapping([unnamed, self.dotted(name, self.routes.of_kind(kind, beside))])
        cases, known = [], [each for each in names if each]
        for each in known:
            named = {**extra, key: {"const": each}}
            make = functools.partial(self.described, registry.lookup(kind, each), named)
            given = {"properties": {key: {"const": each}}, "required": [key]}
            cases.append({"if": given, "then": self.define(f"{name}.{each}", make)})
        components = [registry.lookup(kind, each) for each in names]
        union = functools.partial(self.union, components, {**extra, key: either([{"enum": known}])})
        unnamed = {"not": {"properties": {key: {"enum": known}}, "required": [key]}}
        cases.append({"if": unnamed, "then": self.define(f"{name}.*", union)})
        return _mapping([*cases, self.dotted(name, self.routes.of_kind(kind, beside))])

    def described(self, component, extra: dict) -> dict:
        """A mapping of a component's parameters under its own words."""
        properties, others = self.parameters(component, extra)
        schema = closed(properties, others, dotted=True)
        return {"description": documentation(component), **schema}

    def dotted(self, name: str, routes) -> dict:
        """What dotted keys of a mapping admit; keys without a dot are not looked at."""

        def make():
            return {"patternProperties": free({"^[^.]*$": {}, **patterns(routes)}), **ONLY}

        return self.define(f"{name}.dotted", make)


def closed(properties: dict, others=False, dotted: bool = False) -> dict:
    """A mapping of these keys, with markers; ``others`` for keys of any other name."""
    groups: dict[str, list[str]] = {}
    for key, schema in properties.items():
        bare = {word: item for word, item in schema.items() if word not in NOTES}
        groups.setdefault(json.dumps(bare), []).append(key)
    marked = {f"^(?:{'|'.join(keys)})[*+?]$": json.loads(text) for text, keys in groups.items()}
    if dotted:
        marked[r"^[^.]+\."] = {}
    return {
        "type": "object",
        "properties": {**properties, TEMPLATE: {"type": "string"}, "<<": {}},
        "patternProperties": free(marked),
        "additionalProperties": others,
    }


def either(options: list[dict], variable: bool = True) -> dict:
    """What one of several schemas admits, or a text with a variable."""
    flat = [each for option in options for each in option.get("anyOf", [option])]
    unique = list({json.dumps(option): option for option in flat}.values())
    if not unique or {} in unique:
        return {}
    plain = dict.fromkeys(kind for option in unique for kind in _plain_types(option))
    rest = [option for option in unique if not _plain_types(option)]
    # Definitions of mappings admit variables themselves.
    if variable and "string" not in plain and not any("$ref" in option for option in rest):
        rest.append(VARIABLE_TEXT)
    if plain:
        rest.insert(0, {"type": list(plain) if len(plain) > 1 else next(iter(plain))})
    return rest[0] if len(rest) == 1 else {"anyOf": rest}


def free(patterns: dict) -> dict:
    """Patterns of keys, and keys with a variable."""
    return {**patterns, VARIABLE_KEY: {}}


def _plain_types(schema):
    kinds = schema["type"] if set(schema) == {"type"} else []
    return [kinds] if isinstance(kinds, str) else kinds


def _mapping(rules):
    return {"if": {"type": "object"}, "then": {"allOf": rules}, "else": VARIABLE_TEXT}


def _list(item):
    indices = {"type": "object", "patternProperties": {r"^-?\d+[*+?]?$": item}, **ONLY}
    return {"anyOf": [{"type": "array", "items": item}, indices]}


def _is_json(value):
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True
