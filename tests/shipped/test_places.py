"""Place recognition on a drawn city through the real command."""

import csv
import json

from tests.scenario.command import run_here

SMALL = {"places": 2, "views": 1, "queries": 1, "image_size": 48}


def perform(folder, *args):
    settings = [f"toy.05_city.{key}={value}" for key, value in SMALL.items()]
    return run_here("toy", "place_recognition/eval.yml", *settings, *args, folder=folder)


def test_the_toy_runs_to_its_page_and_once(tmp_path):
    done = perform(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 of 12 queries have no database image within 25 m" in done.stderr
    reports = tmp_path / "root/reports/place_recognition/toy"
    read = json.loads((reports / "rankings/toy.json").read_text())
    assert list(read["places"]["recalls"]) == ["all", "day", "sunset", "night", "fog", "mean"]
    with open(reports / "rankings/toy_queries.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    first = [int(row["first_hit"]) for row in rows if row["first_hit"]]
    assert len(rows) == 12 and len(first) == 8 and {row["positives"] for row in rows} == {"0", "1"}
    share = f"{100 * sum(rank <= 1 for rank in first) / 12:.1f}"
    assert f"folder all: R@1: {share}, " in done.stdout
    text = (reports / "toy/index.html").read_text(encoding="utf-8")
    assert "<h2" in text and "without a positive" in text and f">{share} (" in text
    low, high = (f"{100 * end:.1f}" for end in read["intervals"]["recall@1"])
    assert f")</td><td>{low} to {high}</td>" in text
    assert " m away" in text and 'class="right"' in text
    assert ">images/s</th>" in text and ">256</td>" in text
    assert "0 ran" in "".join(vars(perform(tmp_path))[key] for key in ("stdout", "stderr"))


def test_the_nearest_of_five_squares(tmp_path):
    done = perform(tmp_path, "toy.00_settings.test_method=nearest_crop")
    assert done.returncode == 0 and "folder mean: R@1: " in done.stdout, done.stderr


def test_a_set_that_is_absent(tmp_path):
    network = "toy.10_toy.validation.toy.criterion.dataset"
    changes = f"{network}.set=msls", f"{network}.image_dir=data/msls", f'{network}.queries*="q"'
    done = perform(tmp_path, *changes)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "data/msls/images/val' is not available. Get Mapillary" in done.stderr


def test_mistakes_are_told_before_anything_runs(tmp_path):
    changes = "toy.00_settings.recall_values*=[5, 1]", "toy.00_settings.test_method=five_crop"
    done = perform(tmp_path, *changes)
    assert done.returncode == 2 and not (tmp_path / "root/toy_places").exists()
    assert "expected numbers that ascend, got [5, 1]" in done.stderr
    assert "five_crop" in done.stderr and "five_crops" in done.stderr
