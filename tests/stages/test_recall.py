"""The step recall: files of the published projects, and the report made of them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cirtorch.utils.errors import DataError
from mdir.learning.score_results import make_score
from mdir.scores.cross_domain_score import CrossDomainRecall
from mdir.stages.recall import recall
from mdir.stages.report import report
from tests.sections import DATA, single

PAIRS = 6


@pytest.fixture
def domains(root):
    rng = np.random.default_rng(0)
    for number in range(PAIRS):
        pixels = rng.integers(0, 256, (40, 32, 3), dtype=np.uint8)
        for domain in ("a", "b"):
            folder = root / "set/original" / domain / "val"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return root


def params(**extra):
    return {
        "network": single(
            {"architecture": "contrastive_encoder", "backbone": "resnet18"},
            {"weights": "kaiming_p2p", "seed": 0},
            data={**DATA, "transforms": "resize:32 | pil2np | totensor | normalize"},
        ),
        "score": {
            "type": "cross_domain_recall",
            "ranks": [1, 2],
            "dataset": {"name": "TwoDomains", "image_dir": "set/original", "split": "val"},
        },
        "directory": "results",
        "prefix": "set_pretrained",
    } | extra


def test_files_and_numbers_of_equal_domains(domains):
    metadata = recall(params())[0]
    # Both domains hold the same pictures, so that each one's nearest is its counterpart.
    assert set(metadata["eval"].values()) == {1.0}
    assert "val/validation/score_avg:val_cross_recall@2" in metadata["eval"]
    with (domains / "results/set_pretrained_results.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["val_precise"]) == 100 and row["train_loss"] == "0.0"
    vectors = torch.load(domains / "results/set_pretrained_vectors.pth", weights_only=True)
    assert vectors.shape == (2 * PAIRS, 512) and torch.equal(vectors[:PAIRS], vectors[PAIRS:])
    state = torch.load(domains / "results/set_pretrained_model.pth", weights_only=True)
    assert "f.0.weight" in state and "g.3.bias" in state
    embedding = json.loads((domains / "results/set_pretrained_embedding.json").read_text())
    assert np.array(embedding["points"]).shape == (2 * PAIRS, 2)
    assert metadata["protocol"]["dataset"] == "set" and metadata["protocol"]["images"] == 2 * PAIRS


def test_a_training_run_becomes_a_table(domains):
    events = domains / "run/epochs/events.jsonl"
    events.parent.mkdir(parents=True)
    rows = []
    for epoch in range(3):
        common = {"epoch": epoch, "epoch_size": 2, "timestamp": 0}
        losses = {"key": "train/learning/loss", "data": {"total": [3.0 - epoch, 1.0]}}
        rows.append(common | losses | {"dtype": "scalar/loss", "relative_iteration": [0, 1]})
        if epoch != 1:
            scores = {"key": "val/learning/score_avg", "data": {"val_precise": 0.25 * (epoch + 1)}}
            rows.append(common | scores | {"dtype": "scalar/score", "relative_iteration": None})
    events.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recall(params(training="run"))
    table = (domains / "results/set_pretrained_results.csv").read_text().splitlines()
    assert table == ["epoch,train_loss,val_precise", "1,2.0,25.0", "3,1.0,75.0"]
    score = params()["score"] | {"naming": "ossco"}
    recall(params(training="run", score=score))
    table = (domains / "results/set_pretrained_results.csv").read_text().splitlines()
    # both means are of all steps so far
    assert table[0] == "iter,train_loss,val_precise,iteration"
    assert table[1:] == ["1,2.0,25.0,2", "2,1.5,75.0,6"]


def test_steps_of_translators_are_none_of_the_table(domains):
    events = domains / "run/epochs/events.jsonl"
    events.parent.mkdir(parents=True)
    nothing = float("nan")
    rows = [
        {"epoch": 0, "key": "train/learning/loss", "dtype": "scalar/loss"}
        | {"data": {"total": [9.0, 9.0], "contrastive": [nothing, nothing]}},
        {"epoch": 1, "key": "train/learning/loss", "dtype": "scalar/loss"}
        | {"data": {"total": [4.0, 2.0], "contrastive": [4.0, 2.0]}},
        {"epoch": 1, "key": "val/learning/score_avg", "dtype": "scalar/score"}
        | {"data": {"val_precise": 0.5}},
    ]
    events.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recall(params(training="run", score=params()["score"] | {"naming": "ossco"}))
    table = (domains / "results/set_pretrained_results.csv").read_text().splitlines()
    assert table[1] == "1,3.0,50.0,2"


@pytest.mark.parametrize("constant", [0.0, 1.0])
def test_a_collapsed_network_has_results_but_no_map(domains, constant, monkeypatch):
    monkeypatch.setattr(CrossDomainRecall, "vectors", lambda *_: torch.full((40, 8), constant))
    monkeypatch.setattr("mdir.stages.recall.make_score", forty_images)
    embedding = recall(params())[0]["embedding"]
    assert json.loads(Path(embedding).read_text())["points"] is None
    page = report({"title": "t", "directory": "page", "embeddings": {"Flat": embedding}})[0]
    text = Path(page["page"]).read_text()
    assert "No map of Flat" in text and "maps.svg" not in text


def forty_images(section, preprocessing):
    score = make_score(section, preprocessing)
    score.dataset.files = score.dataset.files[:1] * 40
    score.dataset.domain_of = [0] * 20 + [1] * 20
    score.dataset.labels = list(range(20)) * 2
    return score


def test_features_that_are_no_numbers_are_refused(domains, monkeypatch):
    monkeypatch.setattr(CrossDomainRecall, "vectors", lambda *_: torch.full((12, 8), torch.nan))
    with pytest.raises(DataError, match="NaN or infinite"):
        recall(params())


def test_untrained_weights_follow_the_seed(domains):
    def features(seed, noise):
        torch.manual_seed(noise)
        network = params()["network"] | {"initialize": False}
        recall(params(network=network, seed=seed))
        return torch.load(domains / "results/set_pretrained_vectors.pth", weights_only=True)

    assert torch.equal(features(0, 1), features(0, 2))
    assert not torch.equal(features(0, 1), features(3, 1))


def test_best_and_last_epoch_in_the_report(domains):
    embedding = Path(recall(params())[0]["embedding"])
    content = json.loads(embedding.read_text())
    content["last"] = dict.fromkeys(content["recall"], 0.25)
    embedding.write_text(json.dumps(content))
    page = report({"title": "t", "directory": "page", "embeddings": {"DaCo": str(embedding)}})[0]
    text = Path(page["page"]).read_text()
    assert "a → b R@1" in text and "100.0" in text and "25.0" in text


def test_curves_and_maps_in_the_report(domains):
    embedding = recall(params())[0]["embedding"]
    page = report({"title": "t", "directory": "page", "embeddings": {"Pretrained": embedding}})[0]
    assert "files/recalls.svg" in Path(page["page"]).read_text()
    for name in ("recalls", "maps"):
        assert (domains / "page/files" / f"{name}.svg").read_text().startswith("<?xml")
