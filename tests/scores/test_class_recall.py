"""The score of fine-grained retrieval: numbers, what is shown, and which checkpoint it chooses."""

import json

import numpy as np
import pytest
import torch

from mdir.errors import UserError
from mdir.inference.descriptors import extract_unit_rows
from mdir.learning.events.metrics import Metrics
from mdir.learning.score_results import make_score
from mdir.learning.validation import Setting, make_validation
from mdir.scores.measures.class_recall import class_scores
from mdir.stages.validate import validate
from tests.data.fine_grained_sets import write_cars
from tests.methods.tiny_proxies import DATA, dataset, write_classes
from tests.methods.tiny_reid import data_section, write_market
from tests.scores.test_samples import assert_samples_are_the_averages
from tests.sections import build, single

VALIDATION = {
    "type": "SingleValidation",
    "data": None,
    "network_overlay": None,
    "frequency": 1,
}


def score(**options):
    section = {"type": "class_recall", "dataset": dataset("test"), **options}
    return make_score(section, DATA)


def section():
    return single({"architecture": "TinyProxiesOfTests"}, wrappers="", data=DATA)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build(section()).eval()


def test_numbers_and_rankings(root, network, capsys):
    write_classes(root)
    measure = score(ranks=[2, 1])
    result = measure(network)
    rows = extract_unit_rows(network, measure.dataset, {"batch_size": 8}, "features")
    expected = class_scores(rows, measure.labels, [1, 2], 10)
    found = result.averages
    assert list(found) == ["recall@2", "recall@1", "r_precision", "map@r", "nmi"]
    assert found["recall@2"] == expected.recall(2) and found["recall@1"] == expected.recall(1)
    assert found["map@r"] == pytest.approx(expected.precision_at_r.mean())
    assert_samples_are_the_averages(result, without=["nmi"])
    assert result.per_query["r_precision"] == pytest.approx(expected.r_precision.tolist())
    first = result.rankings[0]
    assert (first["name"], first["class"]) == ("dog/0", "dog")
    assert first["ap"] == pytest.approx(expected.precision_at_r[0])
    assert [one["right"] for one in first["found"]] == [
        one["class"] == "dog" for one in first["found"]
    ]
    assert len(first["found"]) == 10 and "dog/0" not in [one["name"] for one in first["found"]]
    assert (result.protocol["images"], result.protocol["classes"]) == (15, 3)
    shown = result.details()["class_map"]
    assert shown["classes"] == ["dog"] * 5 + ["eel"] * 5 + ["fox"] * 5
    assert np.isfinite(shown["points"]).all() and len(shown["points"]) == 15
    torch.testing.assert_close(result.kept.features, rows)
    assert result.kept.recall == {2: found["recall@2"], 1: found["recall@1"]}
    assert capsys.readouterr().err == ""


def test_options_of_the_set_are_conditions(root, network):
    write_cars(root / "car", [1, 1, 99, 99])
    options = {"name": "fine_grained", "set": "car", "image_dir": "car", "split": "test"}
    told = [
        score(dataset=options | {"cropped": cropped}, nmi=False)(network).protocol
        for cropped in (True, False)
    ]
    assert told[0].pop("cropped") is True and told[0] == told[1]


def test_clusters_can_be_left_out(root, network):
    write_classes(root)
    assert "nmi" not in score(nmi=False)(network).averages


def test_a_class_with_one_image_is_told_and_counts_as_a_miss(root, network, capsys):
    write_classes(root)
    for number in range(1, 5):
        (root / "classes" / "eel" / f"{number}.png").unlink()
    result = score(ranks=[14])(network)
    message = capsys.readouterr().err
    assert "folder: 1 of 3 classes have one image, which is never found" in message
    assert message.rstrip().endswith("eel")
    assert result.averages["recall@14"] == pytest.approx(10 / 11)
    assert result.rankings[5]["ap"] is None and result.rankings[5]["class"] == "eel"
    assert result.protocol["images that have no other of their class"] == 1


def test_one_class_alone_is_told(root, network, capsys):
    write_classes(root, ["ant", "bee"])
    assert score(nmi=False)(network).averages["recall@1"] == 1
    assert "folder: all images are of one class, which is always found" in capsys.readouterr().err


def test_what_cannot_be_scored_is_told_first(root):
    write_classes(root, pictures=1)
    with pytest.raises(UserError, match="folder: no class has two images"):
        score()
    with pytest.raises(UserError, match="needs ranks"):
        score(ranks=[])


def test_a_network_that_diverged_is_refused(root, network):
    write_classes(root)
    network.model.refactor.weight.data.fill_(float("nan"))
    with pytest.raises(Exception, match="are NaN or infinite"):
        score()(network)


def test_identities_of_persons_are_classes_too(root, network):
    write_market(root / "market", persons=3)
    result = score(dataset=data_section(root / "market")["dataset"])(network)
    assert result.protocol["images"] == 18
    assert result.rankings[0]["class"] == "0"


def test_the_first_rank_chooses_and_ties_do_not(root, network):
    write_classes(root)
    criterion = {"type": "class_recall", "dataset": dataset("test"), "ranks": [2, 1]}
    validation = make_validation({**VALIDATION, "criterion": criterion}, Setting(network, {}))
    assert validation.decisive_criterion == "val/learning/score_avg:recall@2"
    metrics = Metrics()
    best = []
    for recall in (0.5, 0.5, 0.6, 0.4):
        data = {"recall@2": recall, "recall@1": 1 - recall}
        row = {"data": data, "dtype": "scalar/score", "relative_iteration": None}
        metrics.add_epoch({"val/learning/score_avg": row})
        best.append(metrics.is_last_best(validation.decisive_criterion, validation.ties_are_best))
    assert best == [True, False, True, False]


def test_rankings_are_kept_for_the_page(root):
    write_classes(root)
    criterion = {"type": "class_recall", "dataset": dataset("test"), "ranks": [1]}
    validation = {**VALIDATION, "criterion": criterion}
    params = {"network": section(), "validation": validation, "data": {}, "rankings": "rankings"}
    found = validate(params)[0]["eval"]
    kept = json.loads((root / "rankings" / "val.json").read_text())
    assert len(kept["queries"]) == 15 and len(kept["class_map"]["classes"]) == 15
    assert 0 <= found["val/validation/score_avg:recall@1"] <= 1
