"""Validations: losses, scores, what decides."""

import itertools
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
import torch

from mdir.artifacts import collecting
from mdir.learning import validation as validations
from mdir.learning.events.events import Events
from mdir.learning.score_results import register_score, write_rankings
from mdir.learning.validation import Setting, check_decisive, make_validation
from mdir.networks.factory import initialize_network
from mdir.registry import ComponentError, Section, check, register
from mdir.scores.result import ScoreResult
from mdir.scores.samples import Sample, interval
from tests.learning.tiny_run import data_section, network, write_data


@register("score", "score_of_tests")
class Score:
    """Counts what it is given."""

    decisive = "score_avg:map"

    def __init__(self, *, factor: float, transforms: str | None = None):
        self.factor, self.transforms = factor, transforms

    def __call__(self, network):
        assert network.stage == "eval"
        assert not torch.is_grad_enabled()
        return ScoreResult(
            averages={"map": 0.5 * self.factor},
            per_query={"ap": [0.0, float("nan"), 1.0]},
            timings={"total_s": 2.0},
            images={"one": torch.zeros(3, 24, 24)},
            rankings=[{"name": "q"}],
            protocol={"size": 3},
        )


def single(**given):
    section = {
        "type": "SingleValidation",
        "data": None,
        "criterion": {"type": "score_of_tests", "factor": 1},
        "network_overlay": None,
        "frequency": 2,
    }
    return {**section, **given}


@pytest.fixture
def setting(root):
    write_data(root)
    net = initialize_network(network(1), "cpu")
    return Setting(net, {"val": data_section("val", 0)}, stage="validation")


def test_a_score_becomes_rows(setting, tmp_path):
    setting.rankings = tmp_path
    validation = make_validation(single(), setting)
    (member,) = validation.members
    assert validation.decisive_criterion == "val/validation/score_avg:map"
    assert member.score.transforms == setting.network.runtime["data"]["transforms"]
    assert [member.is_due(epoch) for epoch in range(4)] == [False, True, False, True]
    events = Events()
    member.run(events, 0)
    events.close_epoch()
    assert events.metrics.metadata() == {
        "val/validation/score_avg:map": [0.5],
        "val/validation/score:ap_avg.4": [0.5],
    }
    rows = events.state_dict({}, "")["data"][0]
    assert rows["val/validation/dataset"]["data"] == {"total_s": 2.0}
    assert rows["val/validation/data/one"]["relative_iteration"] == [-2]
    assert rows["val/validation/protocol"]["data"]["protocol"][0]["dtype"] == "text"
    assert (tmp_path / "val.json").read_text() == (
        '{"protocol": {"size": 3}, "queries": [{"name": "q"}]}'
    )


@register("score", "score_of_tests_with_device")
class ScoreWithDevice:
    """Written when scores were given the device, too."""

    def __call__(self, network, device):
        return ScoreResult(averages={"on_cpu": float(device == torch.device("cpu"))})


def test_a_score_may_take_the_device(setting):
    (member,) = make_validation(
        single(criterion={"type": "score_of_tests_with_device"}), setting
    ).members
    events = Events()
    member.run(events, 0)
    events.close_epoch()
    assert events.metrics.metadata() == {"val/validation/score_avg:on_cpu": [1.0]}


def test_a_score_may_want_the_last_epoch_and_no_ties(setting, monkeypatch):
    (member,) = make_validation(single(), setting).members
    assert member.ties_are_best
    assert [member.is_due(epoch, last=True) for epoch in (0, 1)] == [False, True]
    monkeypatch.setattr(member.score, "at_end", True, raising=False)
    monkeypatch.setattr(member.score, "ties_are_best", False, raising=False)
    assert [member.is_due(epoch, last=True) for epoch in (0, 1)] == [True, True]
    assert not member.is_due(0)
    events, best = Events(), []
    for epoch in range(3):
        member.run(events, epoch)
        events.close_epoch()
        best.append(events.metrics.is_last_best(member.decisive_criterion, member.ties_are_best))
    assert best == [True, False, False]


@pytest.mark.parametrize("loss", ["l1", "contrastive"])
def test_a_loss_is_averaged_as_its_reduction_says(setting, loss):
    class Sum:
        reduction = "sum" if loss == "contrastive" else "mean"

        def __call__(self, output, target):
            return (output - target).abs().sum()

    validation = make_validation(single(data="val", criterion={"loss": "l1"}), setting)
    validation.criterion = Sum()
    images, targets = torch.zeros(2, 3, 24, 24), torch.ones(2, 3, 24, 24)
    setting.network.eval()
    with torch.no_grad():
        expected = (setting.network(images) - targets).abs().sum().item()
        found = validation._loss((images, targets))["total"].item()
        unwrapped = validation._loss((images, [targets]))["total"].item()
    assert found == unwrapped == pytest.approx(expected / (2 if loss == "contrastive" else 1))


def test_an_overlay_gives_the_network_another_runtime(setting):
    overlay = {"runtime": {"wrappers": "reflectpad_divisible:4"}}
    (member,) = make_validation(single(network_overlay=overlay), setting).members
    assert member.network.runtime == {"wrappers": "reflectpad_divisible:4"}
    assert member.network.model is setting.network.model
    assert member.score.transforms == setting.network.runtime["data"]["transforms"]


def test_several_are_labelled_and_one_decides(setting):
    section = {
        "type": "MultiCriterialValidation",
        "decisive_criterion": "b/validation/score_avg:map",
        "a": single(frequency=None),
        "b": single(criterion={"type": "score_of_tests", "factor": 2}),
    }
    assert not list(check(Section("validation"), section))
    validation = make_validation(section, setting)
    events = Events()
    for member in validation.members:
        member.run(events, 0)
    events.close_epoch()
    assert events.metrics.metadata()["b/validation/score_avg:map"] == [1.0]
    assert events.metrics.is_last_best(validation.decisive_criterion)


@pytest.mark.parametrize(("section", "criterion"), [(False, None), ("epoch", "epoch")])
def test_no_validation(setting, section: Literal[False] | str, criterion):
    validation = make_validation(section, setting)
    assert list(validation.members) == []
    assert validation.decisive_criterion == criterion


@pytest.mark.parametrize(
    ("section", "where"),
    [
        (single(frequency="often"), "frequency"),
        (single(criterion="default"), "criterion"),
        (single(criterion={"type": "no_score"}), "criterion.type"),
        (single(criterion={"type": "score_of_tests"}), "criterion"),
        (single(data="val", criterion={"loss": "l7"}), "criterion.loss"),
        ({"type": "MultiCriterialValidation", "decisive_criterion": "map", "a": single()},
         "decisive_criterion"),
        ({"type": "MultiCriterialValidation", "decisive_criterion": "b/learning/loss:total",
          "a": single()}, "decisive_criterion"),
        ({"type": "MultiCriterialValidation", "decisive_criterion": None, "a": False}, "a"),
        ({"type": "MultiCriterialValidation", "decisive_criterion": None,
          "a": {"type": "MultiCriterialValidation", "decisive_criterion": None}}, "a.type"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_key(section, where):
    assert [".".join(map(str, p.path)) for p in check(Section("validation"), section)] == [where]


def test_rankings_are_written_whole(tmp_path):
    result = ScoreResult(rankings=[{"ap": None}])
    write_rankings(tmp_path / "a" / "x.json", result)
    assert (tmp_path / "a" / "x.json").read_text() == '{"protocol": {}, "queries": [{"ap": null}]}'


def test_details_intervals_and_files_beside_the_rankings(tmp_path):
    sample = Sample(np.array([0.25, 0.75]))
    result = ScoreResult(
        protocol={"size": 3},
        details=lambda: {"more": [1]},
        files=lambda: {"_top.tsv": "na\udcffme\n", ".txt": "Näme"},
        samples={"map": sample},
    )
    with collecting() as artifacts:
        write_rankings(tmp_path / "val.json", result)
    assert {path.name for path in tmp_path.iterdir()} == {"val.json", "val_top.tsv", "val.txt"}
    assert json.loads((tmp_path / "val.json").read_text()) == {
        "protocol": {"size": 3}, "queries": [], "more": [1],
        "intervals": {"map": interval(sample)}, "samples": {"map": sample.stored()},
    }  # fmt: skip
    assert (tmp_path / "val_top.tsv").read_bytes() == b"na\xffme\n"
    assert (tmp_path / "val.txt").read_text(encoding="utf-8") == "Näme"
    assert sorted(Path(path).name for path in artifacts.outputs) == sorted(os.listdir(tmp_path))


def test_times_of_a_score_without_averages_are_those_of_an_output():
    rows = []
    events = SimpleNamespace(register=lambda *row: rows.append(row))
    register_score(events, 2, "val/{}".format, ScoreResult(timings={"total_s": 2.0}))
    assert rows == [(2, None, None, "val/output", {"total_s": 2.0}, "scalar/time")]


SEVERAL = {"type": "MultiCriterialValidation", "decisive_criterion": None}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            single(criterion="default"),
            "'default' needs data; without data a score section is expected",
        ),
        (
            {**SEVERAL, "decisive_criterion": "map", "a": single()},
            "expected 'epoch' or KEY:NAME of a metric, got 'map'",
        ),
        (
            {**SEVERAL, "decisive_criterion": "aa/learning/loss:total", "a": single()},
            "unknown validation 'aa'. Did you mean 'a'? Allowed: a, epoch, train",
        ),
        (
            {**SEVERAL, "a": {**SEVERAL, "b": single()}},
            "validations inside another are of type SingleValidation",
        ),
    ],
)
def test_mistakes_are_told_in_words(section, message):
    (problem,) = check(Section("validation"), section)
    assert problem.message == message


@pytest.mark.parametrize("decisive", ["epoch", "train/learning/loss:total", "a/learning/x:y", None])
def test_what_may_decide(decisive):
    section = {**SEVERAL, "decisive_criterion": decisive, "a": single()}
    assert list(check(Section("validation"), section)) == []


@pytest.mark.parametrize(
    ("text", "sound"), [("epoch", True), ("a/b/c:d", True), ("a/b/c", False), ("", False)]
)
def test_the_text_of_a_criterion(text, sound):
    if sound:
        check_decisive(text)
        return
    with pytest.raises(ValueError) as caught:
        check_decisive(text)
    assert str(caught.value) == f"expected 'epoch' or KEY:NAME of a metric, got {text!r}"


@pytest.mark.parametrize("frequency", [None, 0])
def test_validations_of_the_validate_step_alone(setting, monkeypatch, frequency):
    (member,) = make_validation(single(frequency=frequency), setting).members
    monkeypatch.setattr(member.score, "at_end", True, raising=False)
    assert not any(member.is_due(epoch, last=epoch == 3) for epoch in range(4))


def test_the_deciding_validation_says_whether_ties_count(setting, monkeypatch):
    section = {**SEVERAL, "decisive_criterion": "b/validation/score_avg:map"}
    validation = make_validation({**section, "a": single(), "b": single()}, setting)
    assert validation.ties_are_best
    monkeypatch.setattr(validation.members[0].score, "ties_are_best", False, raising=False)
    assert validation.ties_are_best
    monkeypatch.setattr(validation.members[1].score, "ties_are_best", False, raising=False)
    assert not validation.ties_are_best
    validation.decisive_criterion = None
    assert validation.ties_are_best
    nobody = make_validation("epoch", setting)
    assert (nobody.members, nobody.ties_are_best) == ((), True)


def test_a_loss_without_a_reduction_cannot_validate(setting):
    class Loss:
        reduction = "none"

    setting.criterion = Loss()
    with pytest.raises(ComponentError) as caught:
        make_validation(single(data="val", criterion="default"), setting)
    (problem,) = caught.value.problems
    assert problem.path == ("criterion",)
    assert (
        problem.message == "a validation on data needs a criterion whose reduction is mean or sum"
    )


@pytest.mark.parametrize("seed", [5, None])
def test_a_loss_over_data(setting, seed):
    setting.seed = seed
    validation = make_validation(single(data="val", criterion={"loss": "l1"}), setting)
    assert validation.decisive_criterion == "val/validation/loss:total"
    setting.network.train()
    events, torch_seed = Events(), torch.initial_seed()
    validation.run(events, 0)
    assert setting.network.stage == "eval"
    metrics = events.close_epoch()
    assert torch.initial_seed() == torch_seed  # generators of the training are left alone
    (loss,) = events.metrics.metadata()["val/validation/loss:total_avg.4"]
    assert 0 < loss < 2
    assert {name.partition(":")[0] for name in metrics} == {
        f"val/validation/{kind}" for kind in ("loss", "iteration", "prepare_epoch")
    }


def test_queries_of_a_score_are_rows(setting):
    (member,) = make_validation(single(), setting).members
    events = Events()
    rows = []
    events.register = lambda *row: rows.append(row)
    member.run(events, 3)
    places = [(row[0], row[1], row[2], row[3].rpartition("/")[2], row[5]) for row in rows]
    assert places[:5] == [
        (3, None, None, "score_avg", "scalar/score"),
        *[(3, query, 3, "score", "scalar/score") for query in range(3)],
        (3, None, None, "dataset", "scalar/time"),
    ]
    assert [row[4]["ap"] for row in rows[1:4]][::2] == [0.0, 1.0]
    assert [(row[1], row[2], row[3], row[5]) for row in rows[5:7]] == [
        (-2, 1, "val/validation/data/one", "blob"),
        (-2, 1, "val/validation/protocol", "blob"),
    ]
    assert rows[5][4]["image0.rgb"]["dtype"] == "image:rgb"
    assert rows[6][4]["protocol"] == {"dtype": "text", "data": '{\n "size": 3\n}'}


@pytest.mark.parametrize("mined", [None, {"clusters": 3}])
def test_rows_of_a_loss(setting, monkeypatch, mined):
    seconds = itertools.count(100)
    clock = SimpleNamespace(time=lambda: float(next(seconds)))
    monkeypatch.setattr(validations, "time", clock)
    prepared = []
    monkeypatch.setattr(
        validations, "prepare_dataset", lambda *given: prepared.append(given) or mined
    )
    setting.data["val"]["loader"]["batch_size"] = 1
    setting.data["val"]["dataset"]["data_key"] = "train"
    validation = make_validation(single(data="val", criterion={"loss": "l1"}), setting)
    rows, losses = [], iter(range(9))
    monkeypatch.setattr(validation, "_loss", lambda batch: {"total": next(losses)})
    validation.run(SimpleNamespace(register=lambda *row: rows.append(row)), 3)
    first = [(3, None, None, "val/validation/data_mining", mined, "scalar/loss")]
    spent = {"prepare_data": 1.0}
    expected = first if mined else []
    expected.append((3, None, None, "val/validation/prepare_epoch", spent, "scalar/time"))
    for number in range(6):
        spent = {"prepare_data": 1.0, "process_batch": 1.0}
        expected += [
            (3, number, 6, "val/validation/loss", {"total": number}, "scalar/loss"),
            (3, number, 6, "val/validation/iteration", spent, "scalar/time"),
        ]
    assert rows == expected
    assert prepared == [(validation.dataset, validation.network)]
