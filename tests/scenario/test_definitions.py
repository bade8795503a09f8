"""Annotations and mappings as JSON Schema, form by form."""

import re
from typing import Annotated, Any, Literal, TypedDict

import pytest

from mdir import registry
from mdir.registry import Options
from mdir.scenario.assist.definitions import VARIABLE_TEXT, Definitions, closed, either, free
from mdir.scenario.assist.dotted import REST, Routes, patterns

INTEGER, TEXT, NULL = {"type": "integer"}, {"type": "string"}, {"type": "null"}
VARIABLE_KEYS = {r"\$[{<]": {}}


@pytest.mark.parametrize(
    ("options", "whole"),
    [
        ([], {}),
        ([INTEGER, {}], {}),
        ([TEXT], TEXT),
        ([INTEGER], {"anyOf": [INTEGER, VARIABLE_TEXT]}),
        ([INTEGER, INTEGER, NULL], {"anyOf": [{"type": ["integer", "null"]}, VARIABLE_TEXT]}),
        ([INTEGER, TEXT], {"type": ["integer", "string"]}),
        ([{"type": ["integer", "null"]}, TEXT], {"type": ["integer", "null", "string"]}),
        ([{"$ref": "#/a"}], {"$ref": "#/a"}),
        ([{"$ref": "#/a"}, NULL], {"anyOf": [NULL, {"$ref": "#/a"}]}),
        ([{"anyOf": [INTEGER, {"enum": [1]}]}, NULL],
         {"anyOf": [{"type": ["integer", "null"]}, {"enum": [1]}, VARIABLE_TEXT]}),
        ([{"type": "string", "pattern": "a"}],
         {"anyOf": [{"type": "string", "pattern": "a"}, VARIABLE_TEXT]}),
    ],
)  # fmt: skip
def test_one_of_several(options, whole):
    assert either(options) == whole


def test_one_of_several_without_variables():
    assert either([INTEGER], variable=False) == INTEGER
    assert either([{"enum": [1]}, INTEGER], variable=False) == {"anyOf": [INTEGER, {"enum": [1]}]}


def test_mappings_of_certain_keys():
    words = {"description": "how many", "default": 3}
    properties = {"a": {**words, **INTEGER}, "b": INTEGER, "c": TEXT}
    marked = {"^(?:a|b)[*+?]$": INTEGER, "^(?:c)[*+?]$": TEXT}
    schema = {
        "type": "object",
        "properties": {**properties, "__template__": TEXT, "<<": {}},
        "patternProperties": {**marked, **VARIABLE_KEYS},
        "additionalProperties": False,
    }
    assert closed(properties) == schema
    dotted = {**marked, r"^[^.]+\.": {}, **VARIABLE_KEYS}
    open_schema = {**schema, "patternProperties": dotted, "additionalProperties": TEXT}
    assert closed(properties, TEXT, dotted=True) == open_schema
    assert free({"a": 1}) == {"a": 1, **VARIABLE_KEYS}


def both(*schemas):
    return {"anyOf": [*schemas, VARIABLE_TEXT]}


INDICES = {"additionalProperties": False, "type": "object"}


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (str, TEXT),
        (str | None, {"type": ["string", "null"]}),
        (bool, both({"type": "boolean"})),
        (dict, both({"type": "object"})),
        (Literal["a", 2], both({"enum": ["a", 2]})),
        (dict[str, str], both({"type": "object", "additionalProperties": TEXT})),
        (
            list[str],
            both(
                {"type": "array", "items": TEXT},
                {**INDICES, "patternProperties": {r"^-?\d+[*+?]?$": TEXT}},
            ),
        ),
        (Any, {}),
        (Annotated[int, "remark"], both(INTEGER)),
    ],
)
def test_annotations(annotation, schema):
    assert Definitions().value(annotation) == schema


@pytest.mark.parametrize(
    "text", ["1", "-2.5", ".5", "1e-4", " 3. ", "1_000", "inf", "-Infinity", "NaN"]
)
def test_texts_that_are_numbers(text):
    expressions = [
        each["pattern"] for each in Definitions().value(float)["anyOf"] if "pattern" in each
    ]
    assert any(re.search(expression, text) for expression in expressions)
    assert not any(re.search(expression, f"x{text}x") for expression in expressions)


class Keys(TypedDict):
    """Two keys.

    Args:
        a: the first. b: the second one.
    """

    a: int
    b: str


def made(*, count: int, name: str = "x", odd: object = Keys, left: Keys | None = None):
    """Words.

    Args:
        count: how many.
    """


def test_parameters_with_words_and_defaults():
    definitions = Definitions()
    properties, others = definitions.parameters(made, {"more": TEXT})
    assert others is False and list(properties) == ["more", "count", "name", "odd", "left"]
    assert properties["more"] == TEXT
    assert properties["count"] == {"description": "how many.", "anyOf": [
        {"type": ["integer", "null"]}, VARIABLE_TEXT
    ]}  # fmt: skip
    assert properties["name"] == {"default": "x", **TEXT}
    assert "default" not in properties["odd"] and properties["left"]["default"] is None


BOTH = {"a": 1, "b": "x"}


def keyed(*, keys: Annotated[dict, Options(Keys)] = BOTH):
    """Words.

    Args:
        keys: two keys.
    """


def test_words_and_default_of_a_parameter_that_is_a_reference():
    properties, _ = Definitions().parameters(keyed)
    reference = {"$ref": "#/$defs/test_definitions.Keys"}
    # draft 7 reads nothing that stands beside $ref
    words = {"description": "two keys.", "default": BOTH}
    assert properties == {"keys": {**words, "allOf": [reference]}}


def test_definitions_are_made_once():
    definitions, calls = Definitions(), []
    for _ in range(2):
        assert definitions.define("x", lambda: calls.append(1) or INTEGER) == {"$ref": "#/$defs/x"}
    assert (calls, definitions.defs["x"]) == ([1], INTEGER)
    assert definitions.defs["variable"] == {
        "type": "string",
        "pattern": registry.annotations.VARIABLE.pattern,
    }


@pytest.mark.parametrize(
    ("routes", "fitting", "wrong"),
    [
        ([(("a", "b"), {})], ["a.b", "a.b*", "a.b+"], ["a.c", "a", "a.b.c", "x.a.b"]),
        ([(("a", "b"), {}), (("a",), {})], ["a.b"], ["a", "a."]),
        ([(("a", REST), {})], ["a.x", "a.x.y", "a.x?"], ["a", "b.x"]),
        ([(("*[^.]+", "a"), {})], ["x.a", "x.y.a"], ["x.b", "a"]),
        ([(("a", "b"), {}), (("a", "b", "c"), {})], ["a.b", "a.b.c"], ["a.c", "a.b.c.d"]),
    ],
)
def test_dotted_keys(routes, fitting, wrong):
    (expression,) = patterns(routes)
    assert all(re.search(expression, key) for key in fitting)
    assert not any(re.search(expression, key) for key in wrong)


def test_dotted_keys_of_several_schemas():
    routes = [(("a", "b"), INTEGER), (("a", "c"), INTEGER), (("a", "d"), TEXT), (("a", "d"), NULL)]
    routes += [(("a", "e"), TEXT), (("a", "e"), {})]
    found = patterns(routes)
    for key, schema in {"b": INTEGER, "c": INTEGER, "d": {"anyOf": [TEXT, NULL]}, "e": {}}.items():
        assert [each for text, each in found.items() if re.search(text, f"a.{key}")] == [schema]


def test_a_section_by_the_name_of_its_component():
    definitions = Definitions()
    assert definitions.section("pooling") == {"$ref": "#/$defs/pooling"}
    known = registry.names("pooling")
    names = [*known, "*", "dotted"]
    assert list(definitions.defs) == ["variable", "pooling", *(f"pooling.{name}" for name in names)]

    def given(choice):
        return {"properties": {"type": choice}, "required": ["type"]}

    conditions = [*({"const": name} for name in known), {"enum": known}]
    *cases, dotted = definitions.defs["pooling"]["then"]["allOf"]
    *named, unnamed = map(given, conditions)
    assert [case["if"] for case in cases] == [*named, {"not": unnamed}]
    references = [{"$ref": f"#/$defs/pooling.{name}"} for name in names]
    assert [*(case["then"] for case in cases), dotted] == references
    gem = definitions.defs["pooling.gem"]
    assert gem["description"].startswith("Generalized mean with one learned exponent.")
    assert gem["properties"]["type"] == {"const": "gem"}
    exponent = gem["properties"]["p"]
    assert (exponent["description"], exponent["default"]) == ("the exponent to begin with.", 3.0)


def opened(*, count: int = 1, **others: str):
    """Any further key is a text."""


def test_routes_of_components_and_of_kinds():
    routes = Routes(Definitions())
    found = list(routes.of_component(opened))
    assert found == [(("count",), {"anyOf": [INTEGER, VARIABLE_TEXT]}), (("[^.]+",), TEXT)]
    assert [route for route, _ in routes.of_component(opened, "x+")][1:] == [("x+",)]
    assert next(iter(routes.of_kind("pooling"))) == (("type",), {})
    unnamed = {route for route, _ in routes.of_kind("reranking")}  # by its place, without a key
    assert {("k",), ("alpha",), ("beta",)} <= unnamed
    assert all(isinstance(segment, str) for route in unnamed for segment in route)
