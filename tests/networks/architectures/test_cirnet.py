"""Embedding networks by their scenario names: variants, parameter groups, mistakes."""

import pytest
import torch

from mdir import registry
from tests import sections
from tests.sections import cirnet


def build(name="cirnet", **params):
    return registry.build("architecture", cirnet(architecture=name, **params))


def test_meta():
    meta = build().meta
    assert (meta["in_channels"], meta["out_channels"], meta["pooling"]) == (3, 256, "gem")


def test_parameter_groups_of_a_network(root):
    network = sections.build(sections.single(cirnet(whitening=True), wrappers=""))
    features, pool, whiten = network.parameters({"lr": 0.1, "weight_decay": 1})
    assert pool == {"params": [network.model.pool.p], "lr": 1.0, "weight_decay": 0}
    assert "lr" not in features and len(whiten["params"]) == 2


def test_one_channel_sums_the_first_layer():
    inputs = {"channels": 1, "preprocessing": None}
    torch.manual_seed(0)
    grey = build("cirnet_inchan", inputs=inputs).eval()
    torch.manual_seed(0)
    colour = build("cirnet_inchan", inputs={"channels": 3}).eval()
    x = torch.rand(2, 1, 80, 80)
    assert grey.meta["in_channels"] == 1
    torch.testing.assert_close(grey(x), colour(x.expand(-1, 3, -1, -1)), atol=1e-5, rtol=1e-5)


def test_edge_filter_learns_ten_times_faster():
    model = build("cirnet_inchan", inputs={"channels": 1, "preprocessing": {"type": "edgefilter"}})
    assert {"preprocessing.p", "preprocessing.tau"} <= set(model.state_dict())
    group = model.parameter_groups({"lr": 0.1})[-1]
    assert len(group["params"]) == 2 and group["lr"] == 1
    assert model(torch.rand(1, 1, 80, 80)).shape == (256, 1)


@pytest.mark.parametrize("normalize_max", [False, True])
def test_attention_looks_at_each_image_alone(normalize_max):
    attention = {"type": "l2norm", "normalize_max": normalize_max}
    model = build("cirnet_attention", attention=attention).eval()
    x = torch.rand(3, 3, 80, 96)
    single = torch.cat([model(image[None]) for image in x], dim=1)
    torch.testing.assert_close(model(x), single, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "name, params, message",
    [
        ("cirnet", {"cir_architecture": "resnet51"}, "Did you mean 'resnet50'"),
        ("cirnet", {"pooling": "gme"}, "Did you mean 'gem'"),
        ("cirnet", {"pooling": {"type": "Median"}}, "GeometricMedianWeiszfeld"),
        ("cirnet_inchan", {"inputs": {"channels": 2}}, "1 or 3"),
        ("cirnet_attention", {"attention": {"type": "l2norm"}}, "normalize_max"),
        ("cirnet_attention", {"attention": {}, "whitening": True}, "whitening"),
    ],
)
def test_mistakes(name, params, message):
    with pytest.raises(registry.ComponentError, match=message):
        build(name, **params)
