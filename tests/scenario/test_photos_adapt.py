"""Real photographs, a descriptor tuned on views of those by day alone."""

import json

import pytest

from cirtorch.utils.safe_pickle import load_pickle
from mdir.scenario.cli import main

SEEDS = (1, 2, 3)


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
    table = (folder / "report/differences.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in table[1:]] == [
        ["adapted \N{MINUS SIGN} off the shelf", "night_to_day: map"],
        ["adapted \N{MINUS SIGN} off the shelf", "day_to_day: map"],
    ]
    assert [line.split(",")[6] for line in table[1:]] == ["13", "42"]
    seeds = (folder / "report/seeds.csv").read_text()
    assert "adapted,night_to_day: map" in seeds and seeds.count(",3\n") == 2
    read = json.loads((folder / "rankings/seed0/night_to_day.json").read_text())
    assert len(read["queries"]) == 13 and read["protocol"]["whitening"] == "none"
