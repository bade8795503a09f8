"""Building, training mode, parameter groups, published weights."""

import hashlib
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import cirtorch.networks.imageretrievalnet as irn
from cirtorch.layers.pooling import GeM
from cirtorch.networks import backbones
from cirtorch.utils.errors import DataError


def small(**params):
    return irn.init_network({"architecture": "resnet18", "pretrained": False, **params})


@pytest.mark.parametrize("pooling", ["mac", "spoc", "gem", "gemmp", "rmac"])
def test_poolings_and_options_give_unit_columns(pooling):
    net = small(pooling=pooling, whitening=True, regional=pooling == "gemmp").eval()
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        out = net(x)
    assert out.shape == (512, 2)
    torch.testing.assert_close(out.norm(dim=0), torch.ones(2), atol=1e-4, rtol=0)


def test_local_whitening_is_a_linear_map_of_every_location():
    net = small(local_whitening=True, pooling="spoc").eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        mapped = net.lwhiten(net.features(x).flatten(2).mean(2))
        expected = mapped / mapped.norm()
        torch.testing.assert_close(net(x)[:, 0], expected[0], atol=1e-5, rtol=1e-4)


def test_median_pooling_and_regnet():
    median = {"type": "GeometricMedianWeiszfeld", "iterations": 2, "intermediate_gradients": False}
    net = irn.init_network(
        {"architecture": "regnet_y_400mf", "pooling": median, "pretrained": False}
    )
    assert net.meta["outputdim"] == 440 and net.meta["pooling"] == median
    assert net.eval()(torch.randn(1, 3, 64, 64)).shape == (440, 1)


@pytest.mark.parametrize(
    "params, words",
    [({"architecture": "resnet19"}, "resnet18"), ({"pooling": "max"}, "gemmp")],
)
def test_unknown_names_are_told(params, words):
    with pytest.raises(ValueError, match=words):
        irn.init_network({"pretrained": False, **params})


def test_batch_norm_stays_frozen_in_training():
    net = small().train()
    assert net.training and net.features.training
    assert not any(m.training for m in net.modules() if isinstance(m, nn.BatchNorm2d))
    assert net.features[1].weight.requires_grad
    assert not net.eval().training


def test_parameter_groups():
    net = small(regional=True, whitening=True, local_whitening=True)
    groups = net.parameter_groups({"lr": 0.5})
    assert [len(g["params"]) for g in groups][1:] == [2, 1, 2, 2]
    assert groups[2]["lr"] == 5 and groups[2]["weight_decay"] == 0
    assert [g for g in groups if "lr" in g] == [groups[2]]
    torch.optim.Adam(small(pooling="mac").parameter_groups({"lr": 0.5}), lr=0.5)


def test_meta_is_printed():
    text = repr(small())
    assert text.endswith("  )\n)") and "  (meta): dict( \n     architecture: resnet18\n" in text
    assert "     outputdim: 512\n" in text


def test_tables_follow_the_published_names():
    assert set(irn.FEATURES) == {"vgg16", "resnet50", "resnet101", "resnet152"}
    assert irn.WHITENING["vgg16-gem"].endswith("/retrieval-SfM-120k-vgg16-gem-whiten-eaa6695.pth")
    assert set(irn.OUTPUT_DIM) >= {"alexnet", "densenet161", "squeezenet1_1"}
    assert irn.POOLING["gem"] is GeM and irn.L_WHITENING.keys() == {"resnet101"}


def published(mirror, url_name, state):
    """Put a state in the mirror under a name that ends in its hash; returns the URL."""
    torch.save(state, mirror / "state")
    digest = hashlib.sha256((mirror / "state").read_bytes()).hexdigest()[:8]
    (mirror / "state").rename(mirror / f"{url_name}-{digest}.pth")
    return f"http://nowhere.invalid/{url_name}-{digest}.pth"


def test_published_weights_come_through_the_mirror(root, tmp_path, monkeypatch):
    monkeypatch.setenv("CIRTORCH_MIRROR", str(tmp_path))
    torch.manual_seed(1)
    source = small(whitening=True)
    features = published(tmp_path, "features", source.features.state_dict())
    whiten = published(tmp_path, "whiten", source.whiten.state_dict())
    monkeypatch.setitem(backbones.FEATURES, "resnet18", features)
    monkeypatch.setitem(irn.WHITENING, "resnet18-gem", whiten)
    net = irn.init_network({"architecture": "resnet18", "whitening": True})
    for name, value in source.state_dict().items():
        assert torch.equal(net.state_dict()[name], value), name
    assert len(list((root / "data" / "networks").glob("*.pth"))) == 1
    assert len(list((root / "data" / "whiten").glob("*.pth"))) == 1


def test_features_from_a_path_and_a_function(tmp_path):
    source = small()
    torch.save(source.features.state_dict(), tmp_path / "features.pth")
    net = small(pretrained=str(tmp_path / "features.pth"))
    assert torch.equal(net.features[0].weight, source.features[0].weight)
    lib = "python.lib://torchvision.models.[architecture]/progress=False"
    assert small(pretrained=lib).features[0].weight.shape == (64, 3, 7, 7)
    torch.save({"wrong": torch.ones(1)}, tmp_path / "wrong.pth")
    with pytest.raises(DataError, match="wrong.pth"):
        small(pretrained=str(tmp_path / "wrong.pth"))
    with pytest.raises(ValueError, match="torch.hub://"):
        small(pretrained="ftp://somewhere")


@pytest.mark.parametrize("answer", [None, "n"])
def test_features_from_a_repository_that_nobody_trusts(root, monkeypatch, answer):
    def asked(question):
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr(torch.hub, "_parse_repo_info", lambda repo: ("some", "body", "main"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(root))
    monkeypatch.setattr("builtins.input", asked)
    with pytest.raises(DataError, match="torch.hub://some/body: it is not trusted"):
        small(pretrained="torch.hub://some/body")


def test_features_from_a_repository_that_cannot_be_had(monkeypatch):
    def gone(*_args, **_options):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "load", gone)
    with pytest.raises(DataError, match="torch.hub://some/body: no network"):
        small(pretrained="torch.hub://some/body")


def test_whitening_from_a_pickle(tmp_path):
    m, P = np.random.RandomState(0).standard_normal((512, 1)), np.eye(512) * 2
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"m": m, "P": P}))
    net = small(whitening=str(tmp_path / "w.pkl"))
    torch.testing.assert_close(net.whiten.bias.data, torch.from_numpy(-2 * m[:, 0]).float())
    torch.testing.assert_close(net.whiten.weight.data, torch.eye(512) * 2)


def test_missing_published_whitening_is_said(capsys):
    layer = irn._linear(4, "alexnet-spoc", irn.WHITENING, True)
    assert layer.weight.shape == (4, 4)
    assert "alexnet-spoc: no published whitening" in capsys.readouterr().out
