"""The score of visual place recognition: numbers, files, conditions, and what is refused."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cirtorch.utils.errors import DataError
from mdir.data.datasets.place_layouts import LAYOUTS
from mdir.errors import UserError
from mdir.inference.descriptors import image_name
from mdir.learning.score_results import make_score, write_rankings
from mdir.metric_names import Metric
from mdir.registry import Section, check, register
from mdir.report.published_tables import load_table
from mdir.scores.measures.place_recall import positives_within
from mdir.scores.place_views import PlaceViews
from tests.methods.tiny_proxies import dataset as tiny_dataset
from tests.methods.tiny_proxies import write_classes
from tests.scores.test_samples import assert_samples_are_the_averages
from tests.sections import build, single

DATA = {"transforms": "totensor", "mean_std": [[0, 0, 0], [1, 1, 1]]}
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@register("architecture", "MeanColourOfTests")
class MeanColour(nn.Module):
    """The colour of an image, times its height where that is asked for."""

    def __init__(self, *, by_height: bool = False):
        super().__init__()
        self.weight, self.by_height = nn.Parameter(torch.ones(1)), by_height
        self.meta = {"in_channels": 3, "out_channels": 3}

    def forward(self, images):
        means = images.mean((2, 3)).T * self.weight
        return means * images.shape[2] if self.by_height else means


@pytest.fixture
def network():
    return build(single({"architecture": "MeanColourOfTests"}, wrappers="", data=DATA)).eval()


def write(path, colour, size=(8, 6), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)


def named(east, north=0, rest="@@@@@@@@@@@@@", note=""):
    return f"@{east}@{north}@@@@@@@@@@@@{note}@.png"


def write_city(root, folder="set"):
    """Three places, a street apart; queries of the first two and one of nowhere."""
    for place, colour in enumerate((RED, GREEN, BLUE)):
        write(root / folder / "database" / named(100 * place), colour)
    for condition, east, colour in (
        ("day", 20, (250, 5, 5)),
        ("day", 125, (10, 240, 0)),
        ("night", 90, (0, 0, 90)),
        ("night", 900, (9, 9, 9)),
    ):
        write(root / folder / "queries" / named(east, note=f"{condition}_front"), colour)


def score(dataset=None, **options):
    about = {"name": "places", "set": "folder", "image_dir": "set", **(dataset or {})}
    return make_score({"type": "place_recall", "dataset": about, **options}, DATA)


def test_numbers(root, network, capsys):
    write_city(root)
    result = score({"conditions": "note:1"}, recall_values=[1, 2])(network)
    # sorted by name: 125 (right at once), 20 (right at once), 900 (nowhere), 90 (blue first)
    assert result.per_query["first_hit"][:2] == [1, 1] and np.isnan(
        result.per_query["first_hit"][2]
    )
    nearest = result.rankings[3]
    assert nearest["first"] == 3 and nearest["condition"] == "night"
    assert [one["right"] for one in nearest["found"]] == [False, False]
    assert nearest["found"][0]["name"] == f"database/{named(200)}"
    assert nearest["found"][0]["caption"] == "110 m away"
    assert_samples_are_the_averages(result)
    found = result.averages
    assert found["recall@1"] == found["recall@2"] == 0.5
    assert found["recall@1_with_positives"] == pytest.approx(2 / 3)
    assert found["recall@1_day"] == 1 and found["recall@1_night"] == 0
    assert found["recall@2_mean"] == 0.5
    told = result.protocol
    assert (told["images"], told["queries"], told["queries without positives"]) == (3, 4, 1)
    assert told["conditions"] == {"day": 2, "night": 2} and told["dimensions"] == 3
    assert result.details()["places"]["recalls"]["night"] == {
        "queries": 2,
        "without_positives": 1,
        "recalls": [0, 0],
        "with_positives": [0, 0],
    }
    out, err = capsys.readouterr()
    assert "folder all: R@1: 50.0, R@2: 50.0" in out and "folder day: R@1: 100.0" in out
    assert "1 of 4 queries have no database image within 25 m; they fail at every N" in err


def test_files(root, network, tmp_path):
    write_city(root)
    result = score(recall_values=[1, 5])(network)
    write_rankings(tmp_path / "toy.json", result)
    with open(tmp_path / "toy_queries.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["positives"], row["first_hit"]) for row in rows] == [
        ("1", "1"), ("1", "1"), ("0", ""), ("1", "3")
    ]  # fmt: skip
    assert rows[0]["query"] == f"queries/{named(125, note='day_front')}"
    assert {(row["threshold"], row["list"], row["recall_values"]) for row in rows} == {
        ("25.0", result.protocol["list"], "1 5")
    }
    run = [line.split() for line in (tmp_path / "toy_run.txt").read_text().splitlines()]
    assert len(run) == 4 * 3 and {len(line) for line in run} == {6}
    assert run[0][:4] == [rows[0]["query"], "Q0", f"database/{named(100)}", "1"]
    for number in range(4):
        scores = [np.float32(line[4]) for line in run[3 * number : 3 * number + 3]]
        assert scores[0] > scores[1] > scores[2]
    qrels = [line.split() for line in (tmp_path / "toy_qrels.txt").read_text().splitlines()]
    assert [(query, image) for query, _, image, _ in qrels] == [
        (rows[0]["query"], f"database/{named(100)}"),
        (rows[1]["query"], f"database/{named(0)}"),
        (rows[3]["query"], f"database/{named(100)}"),
    ]
    pairs = (tmp_path / "toy_pairs.txt").read_text().splitlines()
    assert pairs[0] == f"{rows[0]['query']} database/{named(100)}" and len(pairs) == 12
    assert (root / "set" / pairs[0].split()[1]).is_file()
    assert json.loads((tmp_path / "toy.json").read_text())["places"]["values"] == [1, 5]


def test_the_threshold_itself_is_close_enough(root):
    write(root / "set/database" / named(0), RED)
    for east in (7, 7.01):
        write(root / "set/queries" / named(east, 24), RED)
    assert [len(one) for one in score().positives] == [0, 1]  # 7.01 is sorted before 7@
    assert [len(one) for one in score(threshold=25.1).positives] == [1, 1]


def test_metres_of_utm_are_not_rounded():
    here = np.array([[555_913.99, 4_725_973.16]])
    there = here + np.array([[7.0001, 24.0001], [6.9999, 23.9999]])
    assert [len(one) for one in positives_within(here, there, 25)] == [0, 1]


def test_folders_are_conditions(root, network):
    for name, colour in (("night", GREEN), ("rain", RED)):
        write(root / "svox/images/test" / f"queries_{name}" / named(1), colour)
    write(root / "svox/images/test/gallery" / named(0), RED)
    write(root / "svox/images/test/gallery" / named(500), GREEN)
    result = score({"set": "svox", "image_dir": "svox"}, recall_values=[1])(network)
    assert result.averages["recall@1_night"] == 0 and result.averages["recall@1_rain"] == 1
    assert result.averages["recall@1"] == result.averages["recall@1_mean"] == 0.5


def test_a_table_tells_some_conditions(root, network):
    write_city(root)
    name = named(20, note="day_front")
    (root / "sets.csv").write_text(f"file,condition\n{name},sunny\n")
    result = score({"conditions": "sets.csv"}, recall_values=[1])(network)
    assert result.averages["recall@1_sunny"] == 1 and "recall@1_mean" not in result.averages
    (root / "sets.csv").write_text(f"file,condition\n{name},sunny\nqueries/x.png,sunny\n")
    with pytest.raises(UserError, match=r"sets.csv:3: queries/x.png is no query of .*1 rows"):
        score({"conditions": "sets.csv"})


@pytest.mark.parametrize(
    ("conditions", "message"),
    [("note:3", "4 of 4 queries note nothing as note:3"), ("note:2", None)],
)
def test_parts_of_notes(root, conditions, message):
    write_city(root)
    if message:
        with pytest.raises(UserError, match=message):
            score({"conditions": conditions})
    else:
        assert {k: v.tolist() for k, v in score({"conditions": conditions}).conditions.items()} == {
            "front": [0, 1, 2, 3]
        }


def test_sizes_and_crops(root):
    section = single(
        {"architecture": "MeanColourOfTests", "by_height": True}, wrappers="", data=DATA
    )
    network = build(section).eval()
    write(root / "set/database" / named(0), RED, (8, 6))
    write(root / "set/queries" / named(0), RED, (12, 24))

    def heights(**options):
        return [round(float(rows[0, 0])) for rows in score(**options).extract(network)]

    assert heights() == [6, 24]
    assert heights(image_size=3) == [3, 6]
    assert heights(image_size=[6, 10]) == [6, 6]
    assert heights(image_size=[6, 10], test_method="single_query") == [6, 12]
    assert heights(image_size=[6, 10], test_method="central_crop") == [6, 6]
    assert heights(image_size=[9, 10], test_method="five_crops") == [9, 9]
    measure = score(image_size=[6, 10], test_method="nearest_crop")
    assert measure.extract(network)[1].shape == (5, 3)
    assert measure(network).averages["recall@1"] == 1


def test_each_crop_looks_for_itself(root, network):
    """A query of two colours: its mean is of neither place, a crop is."""
    write(root / "set/database" / named(0), RED)
    write(root / "set/database" / named(500), (128, 0, 128))
    picture = Image.new("RGB", (40, 8), BLUE)
    picture.paste(RED, (0, 0, 20, 8))
    (root / "set/queries").mkdir()
    picture.save(root / "set/queries" / named(0))

    def recall(method):
        measure = score(image_size=[8, 40], test_method=method, recall_values=[1])
        return measure(network).averages["recall@1"]

    assert recall("hard_resize") == recall("five_crops") == 0
    assert recall("nearest_crop") == 1
    assert recall("maj_voting") == 0  # of five squares three are more like the other place


@pytest.mark.parametrize(
    ("options", "path", "message"),
    [
        ({"recall_values": [5, 1]}, "recall_values", "expected numbers that ascend, got [5, 1]"),
        ({"test_method": "five_crops", "image_size": 480}, "test_method",
         "five_crops needs an image_size of two numbers, height and width; got 480"),
        ({"threshold": 0}, "threshold", "expected more than 0, got 0"),
        ({"image_size": [480]}, "image_size", "a list of 2"),
        ({"dataset": {"name": "places", "set": "folder", "image_dir": "x", "positions": "gps"}},
         "dataset.positions", "expected 'names', 'exif' or a CSV file, got 'gps'"),
        ({"dataset": {"name": "places", "set": "folder", "image_dir": "x", "split": "val"}},
         "dataset.split", "the set 'folder' has no splits"),
        ({"dataset": {"name": "places", "set": "tokio247", "image_dir": "x"}},
         "dataset.set", "tokyo247"),
        ({"dataset": {"name": "places", "set": "msls", "image_dir": "x", "conditions": "note:0"}},
         "dataset.conditions", "expected note:1, note:2, ..."),
    ],
)  # fmt: skip
def test_what_validate_tells(options, path, message):
    dataset = {"name": "places", "set": "folder", "image_dir": "x"}
    section = {"type": "place_recall", "dataset": dataset, **options}
    (problem,) = check(Section("score"), section, ())
    assert ".".join(problem.path) == path and message in problem.message


def test_what_is_refused_before_anything_runs(root):
    write_city(root)
    with pytest.raises(UserError, match="4 of 4 queries have no database image within 1 m"):
        score(threshold=1)
    (root / "set/queries/@1@1@.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"set: 1 of 8 images are not readable as images: .*@1@1@"):
        score()
    (root / "set/queries/@1@1@.jpg").unlink()
    write(root / "set/database/plain.jpg", RED)
    write(root / "set/database/@1e400@5@.jpg", RED)
    with pytest.raises(DataError) as refused:
        score()
    told = str(refused.value).splitlines()
    assert "2 of 9 images have no position (names)" in told[0]
    assert "database/@1e400@5@.jpg: its name does not tell a position" in told[1]
    with pytest.raises(DataError, match=r"'.*data/msls/images/val' is not available. Get"):
        score({"set": "msls", "image_dir": "data/msls"})
    with pytest.raises(UserError, match="needs positions, which folder does not tell"):
        write_classes(root)
        section = {**tiny_dataset("test"), "set": "folder"}
        make_score({"type": "place_recall", "dataset": section}, DATA)


def test_messages_name_the_file_of_a_crop(root):
    write_city(root)
    dataset = score().dataset
    views = PlaceViews(dataset, range(3, 7), lambda image: [image] * 5, 5)
    assert len(views) == 20
    assert image_name(views, 11, torch.zeros(1, 3, 4, 4)) == dataset.files[5]


def test_the_published_table_names_what_the_score_measures():
    for measure in load_table("place_recognition").measures:
        metric = Metric.parse(measure.metric)
        n, _, condition = metric.name.removeprefix("recall@").partition("_")
        assert metric.label == measure.set and metric.kind == "score_avg"
        assert condition in ("", *LAYOUTS[measure.set].queries) and int(n) in (1, 5, 10, 20)


def test_queries_of_one_group_are_not_independent(root, network):
    write_city(root)
    names = sorted(path.name for path in (root / "set/queries").iterdir())
    lines = [f"{name},{place}" for name, place in zip(names, "aabb", strict=True)]
    (root / "groups.csv").write_text("\n".join(["file,group", *lines]))
    alone, grouped = (
        score({"groups": groups}, recall_values=[1])(network) for groups in (None, "groups.csv")
    )
    assert grouped.averages == alone.averages
    assert grouped.samples["recall@1"].groups == ["a", "a", "b", "b"]
    # both queries of a are right, both of b are wrong
    assert grouped.intervals["recall@1"] == [0, 1] != alone.intervals["recall@1"]
    assert grouped.protocol["groups of queries"] == 2
    assert "groups of queries" not in alone.protocol
    (root / "groups.csv").write_text("\n".join(["file,group", *lines[1:]]))
    with pytest.raises(UserError, match="groups.csv: 1 of 4 queries have no group: queries/@"):
        score({"groups": "groups.csv"})
    (root / "groups.csv").write_text("file,group\nother.png,a")
    with pytest.raises(UserError, match="other.png is no query of"):
        score({"groups": "groups.csv"})
