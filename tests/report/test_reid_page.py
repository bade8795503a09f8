"""What a page shows of re-identification: clusters of a training, ranks and maps of a test."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mdir.errors import UserError
from mdir.report.curves import Series, draw_series
from mdir.report.galleries import gallery
from mdir.report.pictures import PictureFolder
from mdir.stages.report import report
from tests.report.test_report import Links, events, rankings


def write_clusters(root, groups, lone=0):
    """``run/epochs/clusters.json``: lists of identities, a cluster each, and lone images."""
    images = []
    labels = [number for number, group in enumerate(groups) for _ in group]
    identities = [identity for group in groups for identity in group]
    for label, identity in zip(labels + [-1] * lone, identities + [7] * lone, strict=True):
        path = root / f"{len(images)}.png"
        Image.fromarray(np.full((24, 12, 3), 9 * len(images), np.uint8)).save(path)
        images.append({"path": str(path), "label": label, "identity": identity})
    events(root / "run/epochs")
    (root / "run/epochs/clusters.json").write_text(json.dumps({"epoch": 3, "images": images}))


def page_of(**params):
    return Path(report({"title": "T", "directory": "page", **params})[0]["page"])


def titles(page):
    return re.findall("<h3>(.*)</h3>", page.read_text(encoding="utf-8"))


def test_largest_clusters_come_with_their_purity(root):
    write_clusters(root, [[1, 1], [2, 2, 3, 2], [5], [4, 1, 4]], lone=2)
    page = page_of(losses={"Training": "run"}, pictures=2, found=3)
    text = page.read_text()
    assert "<h2>Training: clusters</h2>" in text
    assert "Epoch 3, 12 images: 3 clusters, 3 images in none. Purity of all: 77.8 %" in text
    assert titles(page) == ["1. 4 images, purity 75.0 %", "2. 3 images, purity 66.7 %"]
    frames = [mark for mark in Links(page).frames if mark in ("right", "wrong")]
    assert frames == ["right", "wrong", "right", "right", "wrong", "right"]


def test_unknown_identities_have_no_purity(root):
    write_clusters(root, [[None, None]])
    page = page_of(losses={"Training": "run"})
    assert titles(page) == ["1. 2 images"] and "Purity" not in page.read_text()
    assert not {"right", "wrong"} & set(Links(page).frames)


def test_an_epoch_without_clusters_is_told(root):
    write_clusters(root, [[1], [2]])
    page = page_of(losses={"Training": "run"})
    assert "2 images: 0 clusters, 2 images in none." in page.read_text() and not titles(page)


def test_files_that_hold_no_clusters_are_told(root):
    write_clusters(root, [[1, 1]])
    (root / "run/epochs/clusters.json").write_text('{"epoch": 1}')
    with pytest.raises(UserError, match="clusters.json is not a clusters file of a training"):
        page_of(losses={"Training": "run"})


def test_clusters_that_are_gone_are_told(root):
    write_clusters(root, [[1, 1]])
    (root / "run/epochs/clusters.json").unlink()
    path = root / "run/epochs/events.jsonl"
    found = {"epoch": 0, "epoch_size": None, "relative_iteration": None, "dtype": "scalar/loss"}
    found |= {"key": "train/learning/data_mining", "data": {"clusters": 1, "unclustered": 0}}
    assert "Training: clusters" not in page_of(losses={"Training": "run"}).read_text()
    path.write_text(f"{json.dumps(found)}\n{path.read_text()}")
    text = page_of(losses={"Training": "run"}).read_text()
    assert "<h2>Training: clusters</h2>" in text
    assert "clusters.json is gone; the step of the training, run again, restores it." in text


def test_a_run_of_no_epoch_is_told(root):
    (root / "run/epochs").mkdir(parents=True)
    (root / "run/epochs/net_notrain.pth").write_bytes(b"")
    text = page_of(losses={"Training": "run"}).read_text()
    assert "A run of 0 epochs: the networks are as they began." in text


def write_reid_rankings(root, points, **curves):
    path = rankings(root)
    found = {"points": points, "identities": [3, 3, 8, 8], "cameras": [1, 2, 1, 2]}
    path.write_text(json.dumps({**json.loads(path.read_text()), **curves, "map": found}))
    return str(path)


def test_rankings_of_the_score_reid_have_curves_and_maps(root):
    points, curve = [[0, 0], [0, 1], [5, 5], [5, 6]], [0.875, 0.98, 1.0]
    path = write_reid_rankings(root, points, cmc=curve, cmc_reranked=curve)
    page = page_of(galleries={"Nearest": path})
    assert "<h2>Identities</h2>" in page.read_text()
    assert "files/identities.svg" in Links(page).links
    drawn = (page.parent / "files/identities.svg").read_text()
    words = re.findall("<!-- (.*?) -->", drawn)
    assert {"by identity", "by camera", "3", "8", "1", "2"} <= set(words)
    assert {"Nearest", "Nearest (re-ranked)", "90", "100"} <= set(words) and "102" not in words


def test_features_that_are_alike_have_curves_but_no_map(root):
    page = page_of(galleries={"Flat": write_reid_rankings(root, None, cmc=[0.5, 1.0])})
    assert "No map of Flat: the features are all alike." in page.read_text()
    assert "by camera" not in (page.parent / "files/identities.svg").read_text()


def test_other_rankings_have_no_curves(root):
    assert "Identities" not in page_of(galleries={"Night": str(rankings(root))}).read_text()


def test_answers_without_ground_truth_are_no_junk(root):
    found = json.loads(rankings(root).read_text())
    for query in found["queries"]:
        query["ap"] = None
        query["found"] = [{**answer, "right": None} for answer in query["found"]]
    section = gallery("Night", found, PictureFolder(root / "page"), 2, 3)
    assert len(section.strips) == 2 and not section.text
    assert {picture.mark for strip in section.strips for picture in strip.pictures} == {None}


def test_epochs_and_counts_have_whole_ticks(tmp_path):
    series = {"clusters": Series(epochs=[(1, 15.0), (2, 16.0)])}
    draw_series(series, tmp_path / "counts.svg")
    words = re.findall("<!-- (.*?) -->", (tmp_path / "counts.svg").read_text())
    assert words == ["1", "2", "epoch", "15", "16", "clusters"]
