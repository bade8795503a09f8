"""Values as words of a command, as parts of names, and as labels."""

import pytest

from mdir.scenario.sources import Reader
from mdir.scenario.tree import without_places
from mdir.sweep.words import argument, cell_name, label_of, labels_of, value_of

VALUES = [
    0,
    -1,
    2.5,
    1e-05,
    True,
    None,
    "",
    "plain",
    "7",
    "true",
    "a b",
    "[0",
    "é",
    [1, "x"],
    {"a": 1},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_scenario_reads_the_value_that_was_written(value):
    found = without_places(Reader().argument(argument("a.b", value)))
    assert found == {"a": {"b": value}}
    assert type(found["a"]["b"]) is type(value)


def test_numbers_that_yaml_takes_for_text():
    assert argument("lr", "2e-4") == "lr=2e-4"
    assert (value_of("2e-4"), value_of("7"), value_of(True), value_of([1])) == (
        2e-4,
        "7",
        "true",
        "[1]",
    )


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), {1: 2}, object()], ids=["nan", "inf", "mapping", "object"]
)
def test_what_no_word_can_hold(value):
    with pytest.raises(ValueError):
        argument("a", value)


def test_names():
    assert label_of("a/b: c") == "a-b-c"
    assert label_of("..") == label_of("") == "none"
    long = label_of("x" * 500)
    assert len(long) < 60 and long != label_of("x" * 501)
    assert labels_of(["go.a.seed", "go.b.seed", "go.b.lr", "method"]) == [
        "a.seed",
        "b.seed",
        "lr",
        "method",
    ]
    assert cell_name([("seed", "0", True), ("method", "cut", False)]) == "seed-0_cut"
    assert len(cell_name([("seed", "y" * 100, True), ("method", "z" * 100, False)])) == 120
