"""Real photographs, a descriptor tuned on views of those by day alone."""

import csv
import json

import pytest

from cirtorch.utils.safe_pickle import load_pickle
from mdir.scenario.cli import main

SEEDS = (1, 2, 3)


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


@pytest.mark.slow
def test_a_descriptor_is_adapted_without_labels_and_compared(root, photos, capsys):
    """Everything small and from random weights: which numbers come out is another matter."""
    small = [
        f"adapt.00_settings.photos={photos}",
        "adapt.00_settings.weights=null",
        "adapt.00_settings.image_size=48",
        "adapt.02_views.transforms=random_warp | downscale:48",
        "adapt.02_views.count=2",
        "adapt.40_translate.data.test.transforms=pil2np | downscale:48 | totensor | normalize",
    ]
    for seed in SEEDS:
        small += [
            f"adapt.{seed}0_generator.learning.training.epochs=1",
            f"adapt.{seed}0_generator.data.train.dataset.size=2",
            f"adapt.{seed}1_tune.learning.training.epochs=1",
            f"adapt.{seed}1_tune.data.train.dataset.query_size=5",
        ]
    assert main(["adapt", "photos.yml", *small]) == 0
    out = capsys.readouterr()
    assert "scores mean nothing" in out.out.splitlines()[-1]
    folder = root / "photos/adapt"
    views = load_pickle(folder / "views/views.pkl")["train"]
    assert len(views["cids"]) == 2 * 75 and len(set(views["cluster"])) == 75
    name = "adapted \N{MINUS SIGN} off the shelf"
    assert {(row[0], row[1], row[6]) for row in table(folder / "report/differences.csv")} == {
        (name, "night to day mAP", "13"),
        (name, "day to day mAP", "42"),
    }
    assert {(row[0], row[1], row[4]) for row in table(folder / "report/seeds.csv")} == {
        ("adapted", "night to day mAP", "3"),
        ("adapted", "day to day mAP", "3"),
    }
    read = json.loads((folder / "rankings/seed0/night_to_day.json").read_text())
    assert len(read["queries"]) == 13 and read["protocol"]["whitening"] is None
