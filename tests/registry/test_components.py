"""Typed signatures as schemas: what is admitted, converted and refused, and in which words."""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdir import registry
from mdir.registry import (
    Check,
    ComponentError,
    Holds,
    Kind,
    Named,
    Options,
    Problem,
    Section,
    build,
    check,
    check_parameters,
    in_words,
    make,
    within,
)
from mdir.stages.step import step

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=6,
)


def positive(value):
    if not value > 0:
        raise ValueError(f"must be positive, not {value!r}")


class Part:
    def __init__(self, *, size: int = 1):
        self.size = size


class Whole:
    def __init__(
        self,
        given,
        *,
        rate: Annotated[float, Check(positive)],
        part: Annotated[dict, Section("tests_part", build=True)] | None = None,
        rates: list[float] | float = 1.0,
        mode: Literal["a", "b"] = "a",
        **others: Annotated[dict, Section("tests_part", build=True)],
    ):
        self.given, self.rate, self.part = given, rate, part
        self.rates, self.mode, self.others = rates, mode, others

    @staticmethod
    def check_section(params):
        if params["mode"] == "b" and not params["part"]:
            yield ("mode",), "b needs a part"


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    monkeypatch.setitem(registry.KINDS, "tests_part", Kind("kind", (), {"part": Part}))
    monkeypatch.setitem(registry.KINDS, "tests_whole", Kind("type", (), {"whole": Whole}))


def messages(annotation, value):
    return [(problem.path, problem.message) for problem in check(annotation, value)]


@pytest.mark.parametrize(
    ("annotation", "good", "bad", "words"),
    [
        (int, [0, -3], [True, 1.0, "1", None], "a whole number"),
        (
            float,
            [0, 1.5, "2e-4", "inf", "-Infinity", float("inf")],
            [True, "x", None, [1], "1e999", "nan"],
            "a number",
        ),
        (str, ["", "x"], [1, None, []], "text"),
        (bool, [True], [1, "x"], "true or false"),
        (None, [None], [0], "null"),
        (dict, [{}], [[], "x"], "a mapping"),
        (list, [[]], [{}, "x"], "a list"),
        (int | None, [1, None], ["x"], "a whole number or null"),
        (Literal["a", 1], ["a", 1], ["b", True, 1.0], "'a' or 1"),
        (list[int] | None, [[1], [], None], [1], "a list of a whole number or null"),
        (tuple[int, str], [[1, "x"]], [[1], 1], "a list of 2: a whole number, text"),
        (tuple[int, ...], [[], [1, 2]], [1], "a list"),
    ],
)
def test_plain_types(annotation, good, bad, words):
    for value in good:
        assert messages(annotation, value) == []
    for value in bad:
        assert messages(annotation, value) == [((), f"expected {words}, got {value!r}")]


@pytest.mark.parametrize(
    ("annotation", "value", "hint"),
    [
        (bool, "True", "true"),
        (bool | None, "yes", "true"),
        (Literal[False] | dict, "No", "false"),
        (int | None, "None", "null"),
        (Annotated[float, Check(positive)] | None, "", "null"),
        (Literal["a", "b"] | None, "~", "null"),
    ],
)
def test_words_of_other_languages_are_told_in_json(annotation, value, hint):
    ((_, message),) = messages(annotation, value)
    assert message.endswith(f", got {value!r}. Did you mean {hint}?")


@given(PLAIN)
def test_anything_is_anything(value):
    assert messages(Any, value) == []


@given(PLAIN)
def test_checking_never_breaks(value):
    for annotation in (list[float], dict[str, int], tuple[int, str] | None, Section("tests_whole")):
        for path, message in messages(annotation, value):
            assert isinstance(path, tuple)
            assert message


def test_mistakes_inside_are_named_where_they_are():
    assert messages(list[int], [1, "x"]) == [((1,), "expected a whole number, got 'x'")]
    assert messages(dict[str, list[int]] | None, {"k": [1, None]}) == [
        (("k", 1), "expected a whole number, got None")
    ]
    assert messages(Annotated[float, Check(positive)] | None, -1) == [
        ((), "must be positive, not -1.0")
    ]


@pytest.mark.parametrize("text", ["${1_a.x}", "x/$<1_a.x>"])
def test_variables_are_left_for_later(text):
    assert messages(int, text) == []
    assert messages(Section("tests_part"), {"kind": text}) == []
    assert messages(Section("tests_part"), {"kind": "part", "size": text}) == []
    assert messages(int, "${}")


@pytest.mark.parametrize(
    ("section", "path", "message"),
    [
        ("part", (), "expected a tests_part section (a mapping), got 'part'"),
        ({}, (), "missing 'kind', the name of the tests_part. Allowed: part"),
        (
            {"kind": "prt"},
            ("kind",),
            "unknown tests_part 'prt'. Did you mean 'part'? Allowed: part",
        ),
        ({"kind": 3}, ("kind",), "unknown tests_part 3. Allowed: part"),
        (
            {"kind": "part", "siz": 2},
            ("siz",),
            "unknown parameter 'siz'. Did you mean 'size'? Allowed: size (of tests_part part)",
        ),
        ({"kind": "part", "size": "x"}, ("size",), "expected a whole number, got 'x'"),
    ],
)
def test_sections(section, path, message):
    assert messages(Section("tests_part"), section) == [(path, message)]


def test_the_article_of_a_section():
    annotation = Annotated[dict, Section("optimizer")] | Annotated[dict, Section("score")] | None
    assert in_words(annotation) == "an optimizer section or a score section or null"
    message = "expected an optimizer section (a mapping), got 3"
    assert messages(Section("optimizer"), 3) == [((), message)]


def test_mappings_that_their_component_checks():
    held = Annotated[dict, Holds(Section("optimizer"))] | Annotated[dict, Named("processor")] | int
    assert in_words(held) == "a mapping or a whole number"
    assert messages(held, {"anything": 3}) == []
    assert messages(held, "x") == [((), "expected a mapping or a whole number, got 'x'")]


def test_the_name_of_what_has_none_is_not_offered():
    message = "unknown optimizer 'adem'. Did you mean 'adam'? Allowed: adam, adamp, sgd"
    found = messages(Section("optimizer"), {"algorithm": "adem"})
    assert found == [(("algorithm",), message)]


def test_all_problems_of_a_deep_section():
    section = {
        "type": "whole",
        "part": {"kind": "part", "size": None},
        "mode": "c",
        "extra": {"kind": "none"},
    }
    found = {problem.path: problem.message for problem in check(Section("tests_whole"), section)}
    assert found == {
        ("part", "size"): "expected a whole number, got None",
        ("mode",): "expected 'a' or 'b', got 'c'",
        ("extra", "kind"): "unknown tests_part 'none'. Allowed: part",
        (): "missing parameter 'rate' of tests_whole whole: a number",
    }


def test_a_component_checks_further_once_the_rest_is_sound():
    good = {"rate": 1, "mode": "b", "part": None}
    assert [each.message for each in check_parameters(Whole, good)] == ["b needs a part"]
    assert len(list(check_parameters(Whole, {"rate": 1, "mode": 3}))) == 1
    assert list(check_parameters(Whole, {"rate": 1, "part": "${1_a.x}"})) == []
    with pytest.raises(KeyError):
        list(check_parameters(Whole, {"rate": 1}))


def test_building_converts_and_nests():
    section = {"type": "whole", "rate": "2e-4", "part": {"kind": "part", "size": 3}, "mode": "a"}
    whole = build("tests_whole", section, "given", rates=[1, "5e-1"], other={"kind": "part"})
    assert (whole.given, whole.rate, whole.part.size) == ("given", 2e-4, 3)
    assert whole.rates == [1.0, 0.5]
    assert isinstance(whole.rate, float)
    assert isinstance(whole.others["other"], Part)
    assert section["type"] == "whole"


def test_building_refuses_with_every_problem():
    with pytest.raises(ComponentError) as caught:
        build("tests_whole", {"type": "whole", "mode": "a", "part": {"kind": "part", "x": 1}})
    assert len(caught.value.problems) == 2
    assert "part.x: unknown parameter 'x'" in str(caught.value)


def test_a_name_belongs_to_one_module():
    registry.register("tests_part", "part")(Part)
    stranger = type("Stranger", (), {"__module__": "elsewhere"})
    with pytest.raises(RuntimeError, match="registered by tests.registry.test_components already"):
        registry.register("tests_part", "part")(stranger)


def test_steps_check_and_convert():
    @step
    def scale(inputs, *, rate: float, size: int = 2):
        return {"rate": rate, "size": size, "inputs": inputs}

    assert scale({"rate": "1e-1"}) == ({"rate": 0.1, "size": 2, "inputs": ()},)
    with pytest.raises(ComponentError, match="rat: unknown parameter 'rat'. Did you mean 'rate'"):
        scale({"rat": 1})


def test_a_step_has_a_check_of_its_own():
    def below(params):
        if params["low"] > params["high"]:
            yield Problem(("low",), "is above high")

    @step(check=below)
    def span(inputs, *, low: int, high: int):
        """Of numbers."""
        return {"length": high - low}

    assert span({"low": 1, "high": 3}) == ({"length": 2},)
    assert (span.__name__, span.__doc__) == ("span", "Of numbers.")
    with pytest.raises(ComponentError, match="low: is above high"):
        span({"low": 3, "high": 1})


def test_a_check_is_registered_with_its_component():
    def check_size(params):
        if params.get("size") == 7:
            yield Problem(("size",), "seven is taken")

    @registry.register("tests_part", "odd", check=check_size)
    class Odd(Part):
        pass

    assert messages(Section("tests_part"), {"kind": "odd", "size": 7}) == [
        (("size",), "seven is taken")
    ]
    assert messages(Section("tests_part"), {"kind": "part", "size": 7}) == []


def test_problems_of_a_part_within_the_whole():
    found = within(("a", 0), [Problem(("b",), "bad"), ((), "worse")])
    assert list(found) == [Problem(("a", 0, "b"), "bad"), Problem(("a", 0), "worse")]


class Span(TypedDict):
    """From low to high."""

    low: Annotated[float, Check(positive)]
    high: NotRequired[int | None]


class Sides(TypedDict, total=False):
    """What stands beside a part."""

    side: Literal["left", "right"]


def ranged(given, *, span: Span, other: Annotated[dict, Options(Part.__init__)] | None = None):
    return given, span, other


def test_the_keys_of_a_nested_mapping():
    def found(span, **more):
        return [each[:2] for each in check_parameters(ranged, {"span": span, **more})]

    assert found({"low": 1}) == found({"low": 1, "high": None}) == []
    assert found({"low": "${1_a.x}"}) == []
    assert found({"high": 2}) == [(("span",), "missing parameter 'low' of span: a number")]
    assert found({"low": -1, "hihg": 1}) == [
        (("span", "low"), "must be positive, not -1.0"),
        (
            ("span", "hihg"),
            "unknown parameter 'hihg'. Did you mean 'high'? Allowed: high, low (of span)",
        ),
    ]
    assert found(3) == [(("span",), "expected a mapping, got 3")]
    assert found({"low": 1}, other=3) == [(("other",), "expected a mapping or null, got 3")]
    assert found({"low": 1}, other={"size": "x"}) == [
        (("other", "size"), "expected a whole number, got 'x'")
    ]
    fields, others = registry.schema(Span)
    assert others is None
    assert fields["low"].default is fields["low"].empty
    assert fields["high"].annotation == int | None
    assert fields["high"].default is ...


def test_numbers_of_a_nested_mapping_are_made_floats():
    span = {"low": "2e-4", "high": 3}
    assert registry.construct(ranged, {"span": span}, "given") == (
        "given",
        {"low": 2e-4, "high": 3},
        None,
    )
    assert span["low"] == "2e-4"


def test_a_component_gets_the_first_of_what_is_handed_over():
    def one(network, *, size: int):
        return network, size

    def any_number(*given):
        return given

    assert registry.construct(one, {"size": 2}, "network", "data") == ("network", 2)
    assert registry.construct(any_number, {}, "network", "data") == ("network", "data")


def test_keys_beside_those_of_a_component():
    part = Section("tests_part", beside=Sides)
    assert messages(part, {"kind": "part", "size": 2, "side": "left"}) == []
    assert messages(part, {"kind": "part", "side": "top", "top": 1}) == [
        (("top",), "unknown parameter 'top'. Allowed: size (of tests_part part)"),
        (("side",), "expected 'left' or 'right', got 'top'"),
    ]
    assert messages(part, None) == [((), "expected a tests_part section (a mapping), got None")]
    assert messages(part, {"kind": "part", "size": 2, "sied": "left"})[0] == (
        ("sied",),
        "unknown parameter 'sied'. Did you mean 'side'? Allowed: side, size (of tests_part part)",
    )
    part = Section("tests_part", beside=Span)
    assert messages(part, {"kind": "part", "size": 2, "${1_a.x}": 2}) == []
    assert messages(part, {"kind": "part", "size": 2}) == [
        ((), "missing parameter 'low' of Span: a number")
    ]


def test_making_trusts_what_is_checked_already():
    checks = []

    def counted(given, *, size: Annotated[float, Check(checks.append)]):
        return given, size

    registry.KINDS["tests_part"].components["counted"] = counted
    section = {"kind": "counted", "size": "3"}
    assert make("tests_part", section, "given") == ("given", 3.0)
    assert checks == []
    assert build("tests_part", section, "given") == ("given", 3.0)
    assert checks == [3.0]
