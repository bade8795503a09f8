"""The score of re-identification: numbers, what is shown, and which checkpoint it chooses."""

import json

import numpy as np
import pytest
import torch

from cirtorch.utils.errors import DataError
from cirtorch.utils.weight_files import load_weights
from mdir.errors import UserError
from mdir.learning.score_results import make_score
from mdir.networks.factory import load_network
from mdir.scores.measures.cmc import reid_scores
from mdir.stages.convert import convert
from mdir.stages.train import train
from mdir.stages.validate import validate
from tests.methods.tiny_reid import TinyReid, data_section, train_params, write_market
from tests.scores.test_samples import assert_samples_are_the_averages
from tests.sections import build, single

DATA = {"transforms": "resize_to:16_32 | totensor | normalize", "mean_std": [[0.5] * 3, [0.25] * 3]}


def score(root, split="test", **options):
    section = {"type": "reid", "dataset": data_section(root, split)["dataset"], **options}
    return make_score(section, DATA)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build(single({"architecture": "TinyReidOfTests"}, wrappers="", data=DATA)).eval()


def test_numbers_and_rankings(root, network):
    write_market(root, persons=4)
    measure = score(root, ranks=[1, 3], rerank={"k1": 6, "k2": 2})
    result = measure(network)
    dataset = measure.dataset
    rows = measure.extract(network).numpy()
    queries = dataset.queries
    distances = ((rows[:queries, None] - rows[None, queries:]) ** 2).sum(axis=2)
    about = np.array(dataset.identities), np.array(dataset.cameras)
    split = [[one[:queries] for one in about], [one[queries:] for one in about]]
    expected = reid_scores([distances], *split)
    found = result.averages
    assert list(found)[:4] == ["mAP", "mINP", "top1", "top3"]
    assert found["mAP"] == pytest.approx(expected.mean_ap, abs=1e-6)
    assert found["top3"] == pytest.approx(expected.cmc[2])
    assert set(list(found)[4:]) == {f"{name}_reranked" for name in list(found)[:4]}
    assert_samples_are_the_averages(result)
    assert result.protocol["dataset"] == "market1501"
    assert (result.protocol["queries"], result.protocol["images"]) == (4, 20)
    details = result.details()
    assert details["cmc"] == pytest.approx(expected.cmc[:50])
    assert details["cmc_reranked"][2] == found["top3_reranked"]
    assert details["map"]["identities"] == [5] * 6 + [6] * 6 + [7] * 6 + [8] * 6
    assert details["map"]["cameras"] == 4 * [0, 0, 0, 1, 1, 1]
    assert np.isfinite(details["map"]["points"]).all() and len(details["map"]["points"]) == 24
    first = result.rankings[0]
    assert first["name"].startswith("0005_c1") and len(first["found"]) == 10
    # Of the query's person, those by camera 1 are junk and those by camera 2 right.
    marks = {one["name"][:7]: one["right"] for one in first["found"]}
    assert marks["0005_c1"] is None and marks["0005_c2"] is True
    assert {mark for name, mark in marks.items() if name[:4] != "0005"} <= {False}


def test_rankings_without_reranking_are_in_the_order_of_distances(root, network):
    write_market(root, persons=4)
    measure = score(root)
    rows = measure.extract(network)
    expected = torch.cdist(rows[:4], rows[4:]).sort(dim=1).values[:, :10]
    places = {path.stem: place for place, path in enumerate(measure.dataset.files)}
    for query, ranking in enumerate(measure(network).rankings):
        found = rows[[places[one["name"]] for one in ranking["found"]]]
        torch.testing.assert_close(
            torch.cdist(rows[query : query + 1], found)[0], expected[query], atol=1e-3, rtol=0
        )


def test_a_map_shows_some_pictures_of_some_identities(root, network, monkeypatch):
    write_market(root, persons=4)
    monkeypatch.setattr("mdir.scores.measures.tsne._CLASSES", 2)
    monkeypatch.setattr("mdir.scores.measures.tsne._PICTURES", 4)
    found = score(root)(network).details()["map"]
    assert found["identities"] == [5] * 4 + [8] * 4 and len(found["points"]) == 8


def test_a_training_split_is_refused(root):
    write_market(root, persons=2)
    with pytest.raises(UserError, match="needs queries and a gallery"):
        score(root, "train")


def test_the_best_epoch_by_map_is_published_in_their_form(root):
    write_market(root / "target", persons=5)
    params = train_params("cluster_contrast", [root / "target"])
    criterion = {"type": "reid", "dataset": data_section(root / "target", "test")["dataset"]}
    single = {"type": "SingleValidation", "data": None, "criterion": criterion}
    validation = single | {"network_overlay": None, "frequency": 2}
    params["learning"]["validation"] = validation
    metadata = train(params)[0]
    name = "val/learning/score_avg:mAP"
    assert len(metadata["metrics"][name]) == 2  # the second epoch and the last
    best = metadata["best_epoch"]
    assert best["key"] == name and best["metric_avg.3"] == max(metadata["metrics"][name])
    theirs = {"source": "run/epochs/net_best.pth", "target": "model_best.pth.tar"}
    with pytest.raises(UserError, match="ends in .pth.tar"):
        convert(theirs | {"target": "other.pth", "best_epoch": best})
    loaded = load_network({"path": "run/epochs/net_best.pth", "runtime": {}}, "cpu")
    assert isinstance(loaded.model, TinyReid)
    evaluation = {"network": {"path": "run/epochs/net_best.pth", "runtime": {}}, "data": {}}
    found = validate(evaluation | {"validation": validation, "rankings": "rankings"})[0]["eval"]
    assert found["val/validation/score_avg:mAP"] == pytest.approx(best["metric_avg.3"])
    kept = json.loads((root / "rankings/val.json").read_text())
    assert kept["protocol"]["images"] == 25
    assert len(kept["cmc"]) == 50 and kept["cmc"][0] == found["val/validation/score_avg:top1"]


def test_a_reid_resnet_is_written_and_read_in_their_form(root):
    model = {"architecture": "reid_resnet", "backbone": "resnet18", "pretrained": False}
    ours = build(single(model, wrappers="", data=DATA))
    torch.save({**ours.state_dict()["net"]}, root / "net_best.pth")
    best = {"index": 9, "metric_avg.3": 0.5, "key": "val/learning/score_avg:mAP"}
    convert({"source": "net_best.pth", "target": "model_best.pth.tar", "best_epoch": best})
    theirs = load_weights(root / "model_best.pth.tar")
    assert (theirs["epoch"], theirs["best_mAP"]) == (10, 0.5)
    again = load_network({"path": "model_best.pth.tar", "runtime": {"wrappers": ""}}, "cpu")
    for key, value in ours.model.state_dict().items():
        assert torch.equal(value, theirs["state_dict"][f"module.{key}"])
        assert torch.equal(value, again.model.state_dict()[key])


def test_features_that_are_no_numbers_are_named(root, network):
    write_market(root, persons=4)
    with torch.no_grad():
        for weight in network.model.parameters():
            weight.fill_(float("nan"))
    with pytest.raises(
        DataError, match=r"features: the network's descriptors of .* images \(.*jpg"
    ):
        score(root)(network)
