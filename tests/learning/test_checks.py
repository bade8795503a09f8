"""What is checked of the sections of a training before it starts: places and words."""

import pytest

from mdir.learning.checks import (
    component,
    data_problems,
    frequency_problems,
    method_problems,
    method_sections,
    overlay_problems,
    validation_sections,
)
from mdir.registry import KINDS, Problem, names
from tests.learning.tiny_run import data_section, network


def told(problems):
    return {".".join(map(str, each.path)): each.message for each in problems}


def test_the_sections_of_a_validation():
    single = {"type": "SingleValidation", "data": {"data": "val"}}
    assert list(validation_sections(single, ("a",))) == [(("a", "validation"), single)]
    several = {"type": "MultiCriterialValidation", "decisive_criterion": "epoch", "b": single}
    assert list(validation_sections(several, ())) == [(("validation", "b"), single)]
    assert list(validation_sections(False, ())) == list(validation_sections("epoch", ())) == []


def test_validations_that_never_run(monkeypatch):
    names("score")  # the others are registered first
    kinds = KINDS["score"].components
    monkeypatch.setitem(kinds, "last", type("Last", (), {"at_end": True}))
    monkeypatch.setitem(kinds, "any", type("Any", (), {}))

    def found(epochs, **section):
        given = {"type": "SingleValidation", "frequency": 5, **section}
        return list(frequency_problems(given, ("learning",), epochs))

    (problem,) = found(4)
    assert problem.path == ("learning", "validation", "frequency") and problem.warns
    assert problem.message == "is for every 5 epochs, of which there are 4: never"
    assert len(found(4, criterion={"type": "any"})) == 1
    assert len(found(4, criterion={"type": "nonesuch"})) == 1
    assert len(found(1, criterion="default")) == 1
    assert found(4, criterion={"type": "last"}) == found(5) == found(0) == []
    assert (
        found("${1_a.epochs}") == found(4, frequency="${1_a.b}") == found(4, frequency=None) == []
    )


SEQUENCE = {"type": "SequentialNetwork", "first": network(1), "last": network(2)}
LIKE = {"type": "SequentialNetwork", "last": network(1), "list": network(2)}


@pytest.mark.parametrize(
    ("overlay", "section", "expected"),
    [
        ({"runtime": {"wrappers": ""}}, network(1), {}),
        (
            {"runtme": {}},
            network(1),
            {"runtme": "unknown part of a network 'runtme'. Did you mean 'runtime'? "
                       "Allowed: runtime"},
        ),
        ({"model": {}}, network(1),
         {"model": "unknown part of a network 'model'. Allowed: runtime"}),
        ({"lst": {}, "list": {}}, LIKE,
         {"lst": "unknown part of a network 'lst'. Did you mean 'last'? "
                 "Allowed: last, list, rearrange_wrappers, sequence"}),
        ({"sequence": "last", "rearrange_wrappers": True, "${1_a.b}": {}}, SEQUENCE, {}),
        (
            {"frist": {}, "last": {"runtime": {}, "x": 1}},
            SEQUENCE,
            {"frist": "unknown part of a network 'frist'. Did you mean 'first'? "
                      "Allowed: first, last, rearrange_wrappers, sequence",
             "last.x": "unknown part of a network 'x'. Allowed: runtime"},
        ),
        ({"first": {"runtime": {"wrappers": 3}}}, SEQUENCE, {"first.runtime.wrappers": None}),
        ({"model": {}, "runtimes": 1}, {"path": "a.pth"},
         {"runtimes": "unknown part of a network 'runtimes'. Did you mean 'runtime'? "
                      "Allowed: runtime"}),
        ({"runtimes": 1}, "${1_a.network}",
         {"runtimes": "unknown part of a network 'runtimes'. Did you mean 'runtime'? "
                      "Allowed: runtime"}),
        ("${1_a.overlay}", network(1), {}),
        (None, network(1), {}),
    ],
)  # fmt: skip
def test_overlays_of_networks(overlay, section, expected):
    validation = {"type": "SingleValidation", "network_overlay": overlay}
    found = told(overlay_problems(validation, ("learning",), section))
    where = "learning.validation.network_overlay."
    assert set(found) == {where + key for key in expected}
    for key, message in expected.items():
        assert message is None or found[where + key] == message


USED = [(("a", "data"), "train"), (("b",), None), (("c",), "${1_a.name}")]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {}),
        ({"other": "text", "${1_a.b}": {"datset": 1}}, {}),
        (
            {"tarin": {"loader": {"batch_size": 4}}},
            {"data.tarin": "nothing uses this data section. Did you mean 'train'?"},
        ),
        ({"tarin": data_section("train", 0)}, {}),  # whole: somebody may have it for later
        ({"x": {"loader": {"batch_sise": 4}, "dataset": {"data_cols": 1}}},
         {"data.x.loader.batch_sise": "unknown parameter 'batch_sise'. Did you mean 'batch_size'"}),
        ({"x": {"datset": {}, "${1_a.b}": 1}},
         {"data.x.datset": "unknown parameter 'datset'. Did you mean 'dataset'?"}),
        ({"x": {"dataset": {"naem": "CirImageList", "data_key": 1}}},
         {"data.x.dataset.naem": "unknown key 'naem'. Did you mean 'name'? Allowed: name"}),
        ({"x": {"dataset": {"name": "PregeneratedImageTuple", "datset": "p.pkl", "data_cols": 1}}},
         {"data.x.dataset.datset": "unknown parameter 'datset'. Did you mean 'dataset'?"}),
        ({"x": {"dataset": {"name": "nonesuch", "datset": "p.pkl"}}}, {}),
    ],
)  # fmt: skip
def test_data_sections_that_nobody_uses(more, expected):
    found = told(data_problems(USED, {"train": data_section("train", 0), **more}))
    assert set(found) == set(expected)
    for key, message in expected.items():
        assert found[key].startswith(message)


def test_data_sections_that_are_used():
    data = {"trian": data_section("train", 0), "val": {"dataset": {"name": "nonesuch"}}}
    found = told(data_problems([*USED, (("d",), "train"), (("e",), "val")], data))
    assert found.pop("a.data") == (
        "unknown data section 'train'. Did you mean 'trian'? Allowed: trian, val"
    )
    assert found.pop("data.trian") == "nothing uses this data section. Did you mean 'train'?"
    assert list(found) == ["data.val.dataset.name"]
    assert list(data_problems(USED, "${1_a.data}")) == []


def test_the_data_sections_of_an_iteration():
    assert list(method_sections({"data": "a", "type": "SupervisedEpoch"})) == [(("data",), "a")]
    several = [(("data", 0), "a"), (("data", 1), "b")]
    assert list(method_sections({"data": ["a", "b"], "type": "nonesuch"})) == several
    assert component("method", "nonesuch") is None


def method(name, data, criterion="default", of_training=None, sections=None):
    iteration = {"type": name, "data": data, "criterion": criterion}
    return told(method_problems({"criterion": of_training}, iteration, sections or {}))


TRAINING = "learning.training."


def test_how_many_data_sections_a_method_learns_from():
    assert method("SupervisedEpoch", ["a"]) == method("SupervisedEpoch", "a") == {}
    assert method("SupervisedEpoch", ["a", "b"]) == {
        TRAINING + "epoch_iteration.data": (
            "SupervisedEpoch learns from 1 of the data sections, got ['a', 'b']"
        )
    }
    assert method("spcl", ["a", "b", "c"])[TRAINING + "epoch_iteration.data"].startswith(
        "spcl learns from 1 or 2 of the data sections"
    )
    assert method("nonesuch", ["a", "b"]) == method("SupervisedEpoch", None) == {}


def test_the_criterion_that_a_method_takes():
    message = "the method simclr takes the criterion 'simclr', got 'l1'"
    found = method("simclr", "a", {"loss": "l1"})
    assert found == {TRAINING + "epoch_iteration.criterion.loss": message}
    assert method("simclr", "a", of_training={"loss": "l1"}) == {
        TRAINING + "criterion.loss": message
    }
    for given in ({"loss": "simclr"}, {"loss": "${1_a.loss}"}, {}, None):
        assert method("simclr", "a", of_training=given) == {}


def test_what_a_method_says_of_its_criterion(monkeypatch):
    class Choosy:
        streams, views = (1,), None

        @classmethod
        def check_criterion(cls, iteration, criterion):
            yield Problem(("loss",), f"{iteration['data']}: {criterion['loss']}", warns=True)

    names("method")
    monkeypatch.setitem(KINDS["method"].components, "choosy", Choosy)
    found = {TRAINING + "epoch_iteration.criterion.loss": "a: l1"}
    assert method("choosy", "a", {"loss": "l1"}) == found
    assert method("choosy", "a", of_training={"loss": "l2"}) == {
        TRAINING + "criterion.loss": "a: l2"
    }
    assert method("choosy", "a") == method("choosy", "a", "${1_a.criterion}") == {}
    assert method("nonesuch", "a", {"loss": "l1"}) == {}


@pytest.mark.parametrize(
    ("views", "loader", "expected"),
    [
        ("q,k", {"batch_size": 2}, {}),
        ("${1_a.views}", {"batch_size": 2}, {}),
        ("q", {}, {"dataset.views": "simclr takes 2 of an image, got 'q'"}),
        ("q,k,k", "${1_a.loader}", {"dataset.views": "simclr takes 2 of an image, got 'q,k,k'"}),
        (
            "q,k",
            {"batch_size": 1},
            {
                "loader.batch_size": "simclr needs 2 or more: its network is normalised over the "
                "batch"
            },
        ),
    ],
)
def test_the_views_that_a_method_learns_from(monkeypatch, views, loader, expected):
    class Viewed:
        def __init__(self, transforms=None, *, views: str = "q,k"):
            pass

    class Plain:
        def __init__(self, transforms=None, *, other: str = "q,k"):
            pass

    names("dataset")
    for name, kind in (("viewed", Viewed), ("plain", Plain)):
        monkeypatch.setitem(KINDS["dataset"].components, name, kind)
    section = {"dataset": {"name": "viewed", "views": views}, "loader": loader}
    found = method("simclr", "a", sections={"a": section})
    assert found == {f"data.a.{key}": message for key, message in expected.items()}
    section = {"dataset": {"name": "viewed"}}
    assert method("simclr", ["a"], sections={"a": section, "b": {}}) == {}
    assert method("simclr", "a", sections={"a": {"dataset": {"name": "plain"}}}) == {
        "data.a.dataset.name": "simclr learns from views, which this dataset has not"
    }
    assert method("SupervisedEpoch", "a", sections={"a": {"loader": {"batch_size": 1}}}) == {}
