"""Files of SpCL and Cluster Contrast become networks, and ours take their form."""

import numpy as np
import pytest
import torch

from cirtorch.utils.errors import DataError
from mdir.errors import UserError
from mdir.networks.factory import load_network
from mdir.networks.files import read_network_files
from mdir.networks.reid_files import to_reid
from tests import sections
from tests.sections import cirnet


def network(**params):
    section = {"architecture": "reid_resnet", "backbone": "resnet18", "pretrained": False}
    return sections.build(sections.single(section | params, wrappers=""))


def publish(model, path, **changed):
    """As the published programs write it: keys of ``DataParallel``, a number of NumPy."""
    weights = {f"module.{key}": value for key, value in model.state_dict().items()}
    torch.save({"state_dict": weights, "epoch": 3, "best_mAP": np.float64(0.5)} | changed, path)
    return str(path)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"backbone": "resnet34", "pooling": "gem"},
        {"backbone": "resnet50", "domains": 2},
        {"backbone": "resnet_ibn50a", "domains": 2, "features": 8},
        {"num_classes": 7},
    ],
)
def test_a_published_file_is_read(tmp_path, params):
    original = network(**params).eval()
    path = publish(original.model, tmp_path / "model_best.pth.tar")
    loaded = load_network({"path": path}, "cpu").eval()
    images = torch.rand(2, 3, 32, 16)
    assert torch.equal(loaded(images), original(images))
    given = original.network_params["model"]
    model = loaded.network_params["model"]
    assert {key: model[key] for key in given if key != "pretrained"} == {
        key: value for key, value in given.items() if key != "pretrained"
    }
    assert loaded.runtime["data"]["mean_std"][0] == [0.485, 0.456, 0.406]


def test_source_statistics_of_a_published_file(tmp_path):
    original = network(domains=2).eval()
    with torch.no_grad():
        original.model.feat_bn.BN_S.running_mean += torch.rand(512)
    path = publish(original.model, tmp_path / "model_best.pth.tar")
    runtime = {"wrappers": "", "model": {"statistics": "source"}}
    loaded = load_network({"path": path, "runtime": runtime}, "cpu").eval()
    images = torch.rand(2, 3, 32, 16)
    assert not torch.allclose(loaded(images), original(images))
    original.model.runtime = {"statistics": "source"}
    assert torch.equal(loaded(images), original(images))


def test_ours_take_their_form(tmp_path):
    original = network(domains=2).eval()
    state = to_reid(original.state_dict()["net"], epoch=4, best_map=0.25)
    path = tmp_path / "model_best.pth.tar"
    torch.save(state, path)
    stored = torch.load(path, weights_only=True)
    assert (stored["epoch"], stored["best_mAP"]) == (4, 0.25)
    assert {"module.base.1.BN_S.weight", "module.feat_bn.BN_T.bias"} < set(stored["state_dict"])
    again = read_network_files(str(path))["net"]["model_state"]
    assert all(torch.equal(again[key], value) for key, value in original.model.state_dict().items())


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"state_dict": {"module.fc.weight": torch.zeros(1)}}, "nor the weights of a re-ident"),
        ({"state_dict": [1]}, "its state_dict holds no weights by name"),
    ],
)
def test_other_files_are_refused(tmp_path, changed, message):
    path = publish(network().model, tmp_path / "model_best.pth.tar", **changed)
    with pytest.raises(DataError, match=message):
        read_network_files(path)


def test_weights_that_are_missing_are_named(tmp_path):
    model = network().model
    weights = {k: v for k, v in model.state_dict().items() if k != "feat_bn.running_var"}
    path = publish(model, tmp_path / "model_best.pth.tar", state_dict=weights)
    message = r'(?s)model_best.pth.tar.*Missing key.*"feat_bn.running_var"'
    with pytest.raises(UserError, match=message):
        load_network({"path": path}, "cpu")


def test_other_networks_do_not_take_it():
    with pytest.raises(DataError, match="this is a cirnet"):
        to_reid(sections.build(sections.single(cirnet(), wrappers="")).state_dict()["net"], 1, 0.0)
