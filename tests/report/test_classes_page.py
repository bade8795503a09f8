"""What a page shows of fine-grained classes: recalls, maps with proxies, the worst queries."""

import json
import re
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from mdir.errors import UserError
from mdir.stages.fine_grained import summary
from mdir.stages.fine_grained.data_base import read_data_base
from mdir.stages.fine_grained.summary import class_rankings, class_results, score_data_base
from mdir.stages.report import report
from tests.data.fine_grained_sets import write_image

# On a circle: the fourth image finds its class at rank 4, the last at 3, the fifth is alone in it.
ANGLES = [0, 1, 2.1, 20, 18.5, 22.5, 23, 25]
LABELS = [0, 0, 0, 1, 2, 3, 3, 1]
NAMES = [f"cub/images/{at}.jpg" for at in range(8)]


@pytest.fixture
def base(root):
    """A CIRTORCH_ROOT with ``results/a_data_base.pth`` and what belongs to it."""
    for at, name in enumerate(NAMES):
        write_image(root / "data" / name, at)
    (root / "results/a_statistics.csv").parent.mkdir()
    (root / "results/a_statistics.csv").write_text(
        "epoch,train_loss,train_accuracy,test_recall@1,test_recall@2\n1,3,10,40,50\n4,2,20,60.5,70\n"
    )
    torch.save(content(), root / "results/a_data_base.pth")
    return root


def content():
    angles = torch.tensor(ANGLES) * 0.1
    train = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
    return {
        "test_images": NAMES,
        "test_labels": LABELS,
        "test_features": torch.stack([angles.cos(), angles.sin()], dim=1),
        "train_features": normalize(train),
        "train_labels": [0, 1, 2, 3] * 3,
        "train_proxies": normalize(train[:4]),
    }


def read(root, found=3):
    base = read_data_base(str(root / "results/a_data_base.pth"))
    return base, score_data_base(base, found)


def page_of(**params):
    return Path(report({"title": "T", "directory": "page", **params})[0]["page"])


def titles(page, tag="h2"):
    return re.findall(f"<{tag}>(.*?)</{tag}>", page.read_text())


def words(picture):
    return re.findall("<!-- (.*?) -->", picture.read_text())


def test_recalls_and_maps(base):
    found = class_results(*read(base))
    assert found.recall == [5 / 8, 5 / 8, 6 / 8, 7 / 8, 7 / 8, 7 / 8, 7 / 8]
    assert found.epochs == {"R@1": [(1, 40), (4, 60.5)], "R@2": [(1, 50), (4, 70)]}
    train, test = found.maps["train"], found.maps["test"]
    assert (len(train.points), train.labels) == (12, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
    assert (len(train.proxies), train.proxy_labels) == (4, [0, 1, 2, 3])
    assert test.labels == sorted(LABELS) and set(test.proxy_labels) == {None}


def test_the_page(base):
    page = page_of(data_bases={"anchor": "results/a_data_base.pth"}, pictures=2, found=2)
    assert titles(page) == ["Classes", "anchor", "anchor: worst queries"]
    assert titles(page, "h3")[2:] == [
        "3.jpg: first right answer at rank 4",
        "7.jpg: first right answer at rank 3",
    ]
    assert "Stars are the proxies of these classes, crosses those of others" in page.read_text()
    assert "Classes are numbered in the order of their names" in page.read_text()
    curves = words(page.parent / "files/classes.svg")
    assert "recall over epochs, %" in curves and "R@2" in curves
    assert {"train", "test"} <= set(words(page.parent / "files/class_maps.svg"))


def test_several_trainings_side_by_side(base):
    stored = content()
    stored["test_features"] = torch.ones(8, 2)
    for name in ("train_features", "train_labels", "train_proxies"):
        del stored[name]
    torch.save(stored, base / "theirs.pth")
    databases = {"anchor": "results/a_data_base.pth", "theirs": "theirs.pth"}
    page = page_of(data_bases=databases, pictures=1, found=1)
    assert "No map of theirs: test: the features are all alike." in page.read_text()
    curves = words(page.parent / "files/classes.svg")
    assert {"anchor", "theirs", "anchor R@1"} <= set(curves) and "anchor R@2" not in curves
    assert "theirs: test" not in words(page.parent / "files/class_maps.svg")


@pytest.mark.parametrize("ranks", [1, 64])
def test_first_ranks_beyond_those_of_the_curve(base, ranks, monkeypatch):
    monkeypatch.setattr(summary, "_RANKS", ranks)
    stored, scores = read(base, found=1)
    assert (scores.first == 0).sum() == (3 if ranks == 1 else 1)
    queries = class_rankings(stored, scores, "data")["queries"]
    assert [query["first"] for query in queries] == [1, 1, 1, 4, 0, 1, 1, 3]
    assert [one["right"] for query in queries for one in query["found"]] == [
        query["first"] == 1 for query in queries
    ]


def test_pictures_that_are_not_there(base):
    with pytest.raises(UserError, match="8 images of the database are not there, .*data_path"):
        page_of(data_bases={"anchor": "results/a_data_base.pth"}, data_path="elsewhere")


@pytest.mark.parametrize("text", ["epoch,test_recall@1\n1,\n", "test_recall@1\n40\n"])
def test_a_table_of_something_else(base, text):
    (base / "results/a_statistics.csv").write_text(text)
    with pytest.raises(UserError, match="a_statistics.csv is not a table of a training"):
        page_of(data_bases={"anchor": "results/a_data_base.pth"})


def test_rankings_of_class_recall(base):
    answers = {True: {"name": "a", "path": str(base / "data" / NAMES[0]), "right": True}}
    answers[False] = {**answers[True], "right": False}
    queries = [
        {"name": "q", "path": str(base / "data" / NAMES[0]), "box": None, "ap": 0.5}
        | {"found": [answers[right] for right in row]}
        for row in ([True, False], [False, True], [False, False], [False, False])
    ]
    points = [[0, 1], [2, 3], [4, 5]]
    stored = {"protocol": {}, "queries": queries}
    stored["class_map"] = {"points": points, "classes": ["7", "7", "10"]}
    (base / "rankings.json").write_text(json.dumps(stored))
    page = page_of(galleries={"untrained": "rankings.json"})
    assert titles(page) == ["Classes", "untrained"]
    assert "Stars" not in page.read_text() and "numbered" not in page.read_text()
    assert {"7", "10", "test"} <= set(words(page.parent / "files/class_maps.svg"))
    assert "recall over epochs, %" not in words(page.parent / "files/classes.svg")
