"""The files of the published project beside a training with proxies."""

import csv

import pytest
import torch

from mdir.data.loading import make_dataset
from mdir.errors import UserError
from mdir.inference.descriptors import extract_unit_rows
from mdir.learning.events.proxy_files import ProxyFiles
from mdir.methods.proxy import TrainedEpoch
from mdir.networks.factory import load_network
from mdir.scores.class_recall import EvaluatedFeatures
from mdir.stages.train import train
from tests.methods.tiny_proxies import DATA, TinyProxies, dataset, train_params, write_classes

KEYS = ["test_images", "test_labels", "test_features", "train_features", "train_labels"]
COLUMNS = ["epoch", "train_loss", "train_accuracy", "test_recall@2", "test_recall@1"]


class Set:
    """Stands in for a data set of files."""

    def __init__(self, *files):
        self.files, self.identities = files, list(range(1, len(files) + 1))


def watched(root):
    return ProxyFiles(None, directory="results", prefix="car")


def epoch(number, recalls, model=None, dataset=None):
    """What an epoch (from 1) hands on."""
    features, labels = torch.full((2, 8), float(number)), torch.tensor([1, 0])
    trained = TrainedEpoch(number - 1, 0.5, 1 / 3, model or TinyProxies(), features, labels)
    dataset = dataset or Set("/elsewhere/1.jpg")
    tested = EvaluatedFeatures(dataset, torch.full((1, 8), float(number)), recalls)
    return trained, tested


def close(files, number, *results):
    for result in results:
        files.result(result)
    files.epoch_closed(number - 1, {}, {})


def table(root):
    with (root / "results" / "car_statistics.csv").open() as file:
        return list(csv.DictReader(file))


def base(root):
    return torch.load(root / "results" / "car_data_base.pth", weights_only=True)


def test_a_training_leaves_what_the_published_programs_read(root):
    write_classes(root)
    own = {"published": {"directory": "results", "prefix": "tiny_net_balanced_proxy_8"}}
    metrics = train(train_params(ranks=[2, 1], **own))[0]["metrics"]
    with (root / "results" / "tiny_net_balanced_proxy_8_statistics.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == COLUMNS and [row[0] for row in rows[1:]] == ["1", "2", "3", "4"]
    recalls = [float(row[3]) for row in rows[1:]]
    expected = [100 * value for value in metrics["val/learning/score_avg:recall@2"]]
    assert recalls == pytest.approx(expected, abs=1e-4)
    # of 15 images in batches of 4, the last of which is of 3
    assert float(rows[1][2]) * 15 / 100 == pytest.approx(round(float(rows[1][2]) * 15 / 100))
    found = torch.load(
        root / "results" / "tiny_net_balanced_proxy_8_data_base.pth", weights_only=True
    )
    assert list(found) == [*KEYS, "train_proxies", "upright"] and found["upright"] is True
    assert found["test_images"][5] == "classes/eel/0.png"
    assert found["test_labels"] == [0] * 5 + [1] * 5 + [2] * 5
    assert found["test_features"].shape == found["train_features"].shape == (15, 8)
    assert sorted(found["train_labels"]) == [0] * 5 + [1] * 5 + [2] * 5
    state = torch.load(root / "results" / "tiny_net_balanced_proxy_8_model.pth", weights_only=True)
    TinyProxies().load_state_dict(state)
    best = load_network({"path": "run/epochs/net_best.pth"}, "cpu").model
    assert all(torch.equal(value, state[key]) for key, value in best.state_dict().items())
    torch.testing.assert_close(found["train_proxies"], best.proxies.detach())


def test_the_model_is_read_as_a_network(root):
    write_classes(root)
    params = train_params(epochs=1, published={"directory": "results", "prefix": "car"})
    model = {"architecture": "proxy_embedding", "backbone": "resnet18", "pretrained": False}
    params["network"]["model"] = model | {"feature_dim": 8, "classes": 3}
    train(params)
    images = make_dataset({"dataset": dataset("test")}, DATA)
    read = load_network({"path": "results/car_model.pth"}, "cpu")
    features = extract_unit_rows(read, images, None, "features")
    torch.testing.assert_close(features, base(root)["test_features"])


def test_the_first_rank_decides_and_ties_do_not_count(root):
    files = watched(root)
    for number, recalls in enumerate(({2: 0.5, 1: 0.1}, {2: 0.5, 1: 0.4}, {2: 0.6, 1: 0.0}), 1):
        close(files, number, *epoch(number, recalls))
        best = {1: 1, 2: 1, 3: 3}[number]
        assert base(root)["test_features"][0, 0] == base(root)["train_features"][0, 0] == best
    assert [row["test_recall@2"] for row in table(root)] == ["50.0", "50.0", "60.0"]
    assert table(root)[0]["train_accuracy"] == "33.3333"


def test_a_run_that_goes_on_continues_its_table(root, capsys):
    files = watched(root)
    for number, recall in enumerate((0.5, 0.7, 0.9), 1):
        close(files, number, *epoch(number, {1: recall}))
    again = watched(root)
    close(again, 3, *epoch(3, {1: 0.6}))
    assert [row["test_recall@1"] for row in table(root)] == ["50.0", "70.0", "60.0"]
    assert capsys.readouterr().err == ""


def test_a_run_that_begins_anew_forgets_an_older_one(root):
    close(watched(root), 1, *epoch(1, {1: 0.9}))
    files = watched(root)
    close(files, 1)
    close(files, 2, *epoch(2, {1: 0.1}))
    assert [row["epoch"] for row in table(root)] == ["2"]
    assert base(root)["test_features"][0, 0] == 2


def test_a_lost_table_is_told(root, capsys):
    close(watched(root), 5, *epoch(5, {1: 0.1}))
    assert "car_statistics.csv: has no row of epochs 1 to 4" in capsys.readouterr().err
    assert [row["epoch"] for row in table(root)] == ["5"]


def test_a_table_that_was_changed_is_refused_and_stays(root):
    close(watched(root), 1, *epoch(1, {1: 0.1}))
    path = root / "results" / "car_statistics.csv"
    path.write_text(changed := path.read_text().replace(",", ";"))
    with pytest.raises(UserError, match="car_statistics.csv: is not the table .*KeyError"):
        close(watched(root), 2, *epoch(2, {1: 0.1}))
    assert path.read_text() == changed


def test_of_several_scores_the_first_counts_and_other_results_do_not(root):
    trained, tested = epoch(1, {1: 0.5})
    close(watched(root), 1, object(), trained, tested, epoch(1, {1: 0.9})[1])
    assert table(root)[0]["test_recall@1"] == "50.0"


def test_files_that_are_gone_are_told_at_the_end(root, capsys):
    watched(root).close()
    assert "car_model.pth: is not there; it is written while" in capsys.readouterr().err


def test_images_are_named_from_the_root(root):
    files = watched(root)
    inside, outside = root / "data" / "1.jpg", root.parent / "2.jpg"
    close(files, 1, *epoch(1, {1: 0.5}, dataset=Set(inside, outside)))
    assert base(root)["test_images"] == ["data/1.jpg", str(outside)]
    assert base(root)["test_labels"] == [1, 2]
