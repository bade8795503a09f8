"""The target index of sandbox.yml: a drawn city, its index, what is found in it, and the server."""

import csv

from cirtorch.search.index import open_index
from mdir.serve.indexed import read_indexed
from tests.scenario.command import run_here

QUICK = "index.2_train.learning.training.epochs=1"


def test_night_pictures_find_day_pictures_and_the_index_can_be_served(root):
    result = run_here("index", "sandbox.yml", QUICK, folder=root.parent)
    assert result.returncode == 0, result.stderr
    with open(root / "sandbox/sandbox/night/found.csv", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) == 2 * 3 * 8  # places, night pictures of each, found for each
    assert all("query_night" in row["query"] for row in rows)
    assert not any("query_night" in row["image"] for row in rows)
    assert (root / "sandbox/sandbox/night/report/index.html").exists()
    index = open_index(root / "sandbox/sandbox/index")
    assert len(index) == 2 * (3 + 3 + 3) + 4
    assert index.values("condition") == ["day", "night"]
    assert index.values("place") == ["place00", "place01"]
    found = read_indexed(["sandbox.yml", QUICK], None)
    assert (found.target, found.directory) == ("index", str(index.folder))
    assert found.extraction["network"]["path"].endswith("sandbox/training/epochs/net_best.pth")
