"""The two demonstrations, shrunk, through the real command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]

TINY_GENERATOR = [
    "all.02_generator.learning.training.epochs=2",
    "all.02_generator.data.train.dataset.size=4",
]
TINY_CITY = [
    "all.01_city.image_size=96",
    "all.01_city.train_places=6",
    "all.01_city.test_places=2",
    "all.01_city.day_views=3",
]
TINY_TUNING = [
    f"all.{step}.{key}"
    for step in ("04_pretrain", "05_tune", "06_tune_augmented", "07_tune_with_clahe")
    for key in ("learning.training.epochs=1", "data.train.dataset.query_size=8")
]


def perform(root, *arguments, target="all"):
    command = [sys.executable, str(PROJECT / "perform_scenario.py"), target, *arguments]
    environment = {**os.environ, "CIRTORCH_ROOT": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=root)


@pytest.mark.slow
def test_quickstart_ends_with_a_table_and_a_page_and_is_not_run_twice(root):
    arguments = [
        "quickstart.yml",
        "all.00_settings.seed=3",
        *TINY_CITY,
        *TINY_GENERATOR,
        *TINY_TUNING,
    ]
    done = perform(root, *arguments)
    assert done.returncode == 0, done.stderr
    for text in ("untuned", "tuned, augmented", "night to day mAP", "day to day whitened mAP"):
        assert text in done.stdout
    page = (root / "quickstart/seed3/report/index.html").read_text(encoding="utf-8")
    for text in ("Night queries, tuned", "Day, translated to night", "Conditions", 'class="right"'):
        assert text in page
    again = perform(root, *arguments)
    assert again.returncode == 0 and "17 skipped" in again.stdout + again.stderr


@pytest.mark.slow
def test_own_photographs_go_through_every_stage(root, photos):
    tiny = ["all.04_tune.learning.training.epochs=1", "all.04_tune.data.train.dataset.query_size=8"]
    given = [f"all.00_settings.photos={photos}", "all.00_settings.weights=null"]
    done = perform(root, "photos.yml", *given, *TINY_GENERATOR, *tiny)
    assert done.returncode == 0, done.stderr
    assert all(
        "scores mean nothing" in line
        for line in (done.stderr.splitlines()[0], done.stdout.splitlines()[-1])
    )
    page = (root / "photos/report/index.html").read_text(encoding="utf-8")
    assert "13 queries" in page or "queries: 13" in page
    assert len(list((root / "photos/translations").rglob("*.jpg"))) == 75
    found = perform(root, "photos.yml", target="search")
    assert found.returncode == 0, found.stderr
    assert len((root / "photos/search/night/found.csv").read_text().splitlines()) == 1 + 13 * 8
