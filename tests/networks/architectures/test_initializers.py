"""Random weights by name: the published distributions, and what they leave alone."""

import math

import pytest
import torch
from torch import nn

from mdir import registry
from mdir.registry import ComponentError


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4))


def initialize(name, **params):
    network = small_network()
    torch.manual_seed(0)
    registry.build("initializer", {"weights": name, **params}, network)
    return network


LAYERS = {
    "convolution": lambda: nn.Conv2d(3, 8, 5),
    "1x1 convolution": lambda: nn.Conv2d(7, 1, 1),
    "grouped convolution": lambda: nn.Conv2d(6, 9, 3, groups=3),
    "transposed convolution": lambda: nn.ConvTranspose2d(5, 2, 4, bias=False),
    "linear": lambda: nn.Linear(11, 3),
}


def published_deviation(name, weight, gain):
    """As published, where fans go by the position of the axes, whatever the layer does."""
    field = 1
    for side in weight.shape[2:]:
        field *= side
    fan_in, fan_out = weight.shape[1] * field, weight.shape[0] * field
    if name == "normal_p2p":
        return gain
    if name == "xavier_p2p":
        return gain * math.sqrt(2 / (fan_in + fan_out))
    return math.sqrt(2 / fan_in)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("name", "params", "bias"),
    [
        ("normal_p2p", {"init_gain": 0.02}, 0.0),
        ("kaiming_p2p", {"init_gain": 0.02}, 0.0),
        ("xavier_p2p", {"init_gain": 0.02}, 0.0),
        ("xavier_p2p", {"init_gain": 1.4142}, 0.0),
        ("he_normal", {}, 0.01),
    ],
)
def test_initial_weights_are_the_published_ones_bit_for_bit(name, params, bias, layer):
    drawn = LAYERS[layer]()
    torch.manual_seed(4)
    registry.build("initializer", {"weights": name, **params}, drawn)
    torch.manual_seed(4)
    deviation = published_deviation(name, drawn.weight, params.get("init_gain"))
    assert torch.equal(drawn.weight, torch.empty_like(drawn.weight).normal_(0.0, deviation))
    assert drawn.bias is None or torch.equal(drawn.bias, torch.full_like(drawn.bias, bias))


@pytest.mark.parametrize("name", ["normal_p2p", "kaiming_p2p", "xavier_p2p"])
def test_batch_norms_are_drawn_after_the_layers_before_them(name):
    network = initialize(name, init_gain=0.02)
    torch.manual_seed(0)
    torch.empty_like(network[0].weight).normal_()
    assert torch.equal(network[2].weight, torch.empty(4).normal_(1.0, 0.02))
    assert torch.equal(network[2].bias, torch.zeros(4))


@pytest.mark.parametrize("name", ["normal", "uniform", "he_normal"])
def test_plain_initializers_leave_norms_alone(name):
    norm = initialize(name)[2]
    assert torch.equal(norm.weight, torch.ones(4))
    assert torch.equal(norm.bias, torch.zeros(4))


@pytest.mark.parametrize(
    "section", [{"weights": "normal", "init_gain": 1}, {"weights": "normal_p2p", "gain": 1}]
)
def test_unknown_keys_of_initializers(section):
    with pytest.raises(ComponentError, match="unknown parameter"):
        registry.build("initializer", section, small_network())


def test_unknown_initializer_names_its_neighbours():
    with pytest.raises(ComponentError, match="Did you mean 'xavier_p2p'"):
        registry.build("initializer", {"weights": "savier_p2p"}, small_network())
