"""SpCL and Cluster Contrast in whole runs: labels, memories, restarts, several processes."""

import json

import numpy as np
import pytest
import torch

from cirtorch.utils.weight_files import load_weights
from mdir.errors import UserError
from mdir.registry import check_parameters
from mdir.stages.train import train
from tests.learning.parallel.launching import launch
from tests.learning.test_killed import assert_same
from tests.methods.tiny_reid import train_params, write_market

RUNS = {"usl": ("spcl", 1), "uda": ("spcl", 2), "clusters": ("cluster_contrast", 1)}


@pytest.fixture
def given(root):
    """``given(run, ...)``: parameters of one of the runs, on pictures that are there."""
    roots = [root / "source", root / "target"]
    for number, place in enumerate(roots):
        write_market(place, persons=5 + number, test=False)

    def make(run, **changed):
        method, count = RUNS[run]
        return train_params(method, roots[-count:], **changed)

    return make


def trained(root, epoch):
    """Weights, the method's state and what was logged, without times."""
    folder = root / "run/epochs"
    rows = map(json.loads, (folder / "events.jsonl").read_text().splitlines())
    logged = [row["data"] for row in rows if row["dtype"] == "scalar/loss"]
    extra = load_weights(folder / f"extra_epoch_{epoch:02d}.pth")
    network = load_weights(folder / f"net_epoch_{epoch:02d}.pth")["model_state"]
    return [network, extra, logged]


@pytest.mark.parametrize("run", RUNS)
def test_a_run_learns_from_its_clusters(given, root, run, capfd):
    assert not list(check_parameters(train.function, given(run)))
    train(given(run))
    _, extra, logged = trained(root, 3)
    prepared = [row for row in logged if "clusters" in row]
    assert len(prepared) == 3 and prepared[0] == {"clusters": 6, "unclustered": 0}
    labels = extra["method"]["labels"].numpy()
    sizes = np.unique(labels[labels >= 0], return_counts=True)[1]
    assert (sizes > 1).sum() == prepared[2]["clusters"]
    assert (sizes == 1).sum() + (labels < 0).sum() == prepared[2]["unclustered"]
    features = extra["method"]["criterion"]["features"]
    assert len(features) == {"usl": 36, "uda": 5 + 36, "clusters": labels.max() + 1}[run]
    torch.testing.assert_close(features.norm(dim=1), torch.ones(len(features)))
    kept = json.loads((root / "run/epochs/clusters.json").read_text())
    assert kept["epoch"] == 3 and [one["label"] for one in kept["images"]] == labels.tolist()
    assert len({one["identity"] for one in kept["images"]}) == 6
    told = capfd.readouterr().err
    assert "Labels [01]: 6 clusters, 0 of 36 images in none; features " in told


@pytest.mark.parametrize("run", RUNS)
def test_a_resumed_run_is_an_uninterrupted_one(given, root, run):
    train(given(run))
    expected = trained(root, 3)
    (root / "run").rename(root / "whole")
    train(given(run, epochs=2))
    train(given(run))
    assert_same(trained(root, 3), expected)


@pytest.mark.parametrize("run", RUNS)
def test_a_finished_run_restores_its_clusters(given, root, run):
    train(given(run, epochs=2))
    kept = root / "run/epochs/clusters.json"
    expected = kept.read_text()
    kept.unlink()
    train(given(run, epochs=2))
    assert kept.read_text() == expected and json.loads(expected)["epoch"] == 2


@pytest.mark.parametrize("run", RUNS)
def test_two_processes_find_the_labels_of_one(given, root, run):
    train(given(run, epochs=2))
    expected = trained(root, 2)
    (root / "run").rename(root / "whole")
    assert launch(lambda _: train(given(run, epochs=2))) == [0, 0]
    _, extra, logged = trained(root, 2)
    method = extra["method"]
    assert torch.equal(method["labels"], expected[1]["method"]["labels"])
    torch.testing.assert_close(
        method["criterion"], expected[1]["method"]["criterion"], rtol=0, atol=1e-3
    )
    np.testing.assert_allclose(logged[0]["clusters"], expected[2][0]["clusters"])
    np.testing.assert_allclose(logged[1]["total"], expected[2][1]["total"], rtol=1e-3)


def test_processes_may_normalise_by_themselves(given, root):
    """Statistics of a part are others than those of the whole; both processes stay equal."""
    networks = []
    for batch_norm in ("synchronised", "per_process"):
        params = given("uda", epochs=1, batch_norm=batch_norm)
        assert launch(lambda _, params=params: train(params)) == [0, 0]
        networks.append(trained(root, 1)[0])
        (root / "run").rename(root / batch_norm)
    first, second = (network["feat_bn.BN_T.running_var"] for network in networks)
    torch.testing.assert_close(first, second, rtol=0.2, atol=0)
    assert not torch.allclose(first, second, rtol=1e-4)


def test_two_domains_need_a_source(given):
    params = given("usl", epochs=1)
    params["network"]["model"]["domains"] = 2
    with pytest.raises(UserError, match="there is no source"):
        train(params)


def test_all_clusters_are_trusted_on_demand(given, root):
    train(given("usl", epochs=1, self_paced=False))
    assert trained(root, 1)[1]["method"]["threshold"] is None


def test_given_labels_are_the_identities(given, root):
    train(given("clusters", epochs=1, labels="given"))
    labels = trained(root, 1)[1]["method"]["labels"].tolist()
    assert labels == sorted(6 * list(range(6)))


def test_given_labels_need_several_identities(given, root):
    write_market(root / "one", persons=1, test=False)
    params = given("clusters", epochs=1, labels="given")
    for section in params["data"].values():
        section["dataset"]["image_dir"] = str(root / "one")
        section["loader"] = {**section["loader"], "batch_size": 4}
    with pytest.raises(UserError, match="labels: given needs a set of several identities"):
        train(params)


def test_published_gradients_are_not_divided(given):
    params = given("uda", epochs=1)
    params["learning"]["training"]["criterion"]["gradients"] = "published"

    def run(_):
        with pytest.raises(UserError, match="published gradients refresh the memory"):
            train(params)

    assert launch(run) == [0, 0]


@pytest.mark.parametrize(
    "change, told",
    [
        ({"data": "target"}, "or from the target alone without"),
        ({"images": "source_images"}, "'source_images' has other images"),
    ],
)
def test_data_sections_that_do_not_fit_are_told(given, change, told):
    params = given("uda", epochs=1)
    params["learning"]["training"]["epoch_iteration"].update(change)
    with pytest.raises(UserError, match=told):
        train(params)


def test_batches_of_two_sizes_are_told(given):
    params = given("uda", epochs=1)
    params["data"]["source"]["loader"]["batch_size"] = 4
    with pytest.raises(UserError, match="source and target must be of one size"):
        train(params)


@pytest.mark.parametrize("iterations", [2, None])
def test_too_few_clusters_for_a_batch_are_told(given, iterations):
    params = given("clusters", epochs=1, iterations=iterations, eps=0.99, k1=20, k2=6)
    loader = params["data"]["target"]["loader"]
    loader["sampler"]["instances"] = 2
    loader["batch_size"] = 12  # two of each person
    with pytest.raises(UserError, match=r"\(\d identities or clusters, 2 of each\), a batch 12"):
        train(params)
