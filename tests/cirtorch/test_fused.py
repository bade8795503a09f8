"""Fused features give the descriptors of the features, and step aside where they would not."""

import copy

import pytest
import torch
import torchvision.transforms as T
from PIL import Image
from torch import nn

from cirtorch.networks.fused import computed_by, fused, fused_pairs
from cirtorch.networks.imageretrievalnet import extract_vectors, init_network
from cirtorch.utils.errors import DataError

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="torch has no oneDNN here"
)


def network(architecture, **options):
    torch.manual_seed(0)
    params = {"architecture": architecture, "pretrained": False, **options}
    return settled(init_network(params)).eval()


def settled(module):
    """Normalization that does something."""
    generator = torch.Generator().manual_seed(0)
    for each in module.modules():
        if isinstance(each, nn.BatchNorm2d):
            each.running_mean.normal_(0, 0.1, generator=generator)
            each.running_var.uniform_(0.5, 1.5, generator=generator)
            each.bias.data.normal_(0, 0.1, generator=generator)
    return module


def convolutions(module):
    return [each for each in module.modules() if type(each).__name__ == "_Convolution"]


FUSED = {"alexnet": 5, "vgg11": 8, "resnet18": 20, "resnet50": 53, "resnext50_32x4d": 53}
FUSED |= {"squeezenet1_1": 1, "regnet_y_400mf": 53, "densenet121": 4}


@pytest.mark.parametrize("architecture", FUSED)
@torch.no_grad()
def test_equal_to_the_features(architecture):
    net = network(architecture)
    faster = fused(net.features)
    assert len(convolutions(faster)) == FUSED[architecture]
    for batch, height, width in ((1, 97, 64), (3, 64, 80)):
        images = torch.randn(batch, 3, height, width)
        expected, found = net.features(images), faster(images)
        assert found.is_contiguous()
        bound = 1e-5 * float(expected.abs().max())
        torch.testing.assert_close(found, expected, rtol=0, atol=bound)


@torch.no_grad()
def test_features_are_themselves_again():
    net, images = network("resnet18"), torch.randn(1, 3, 64, 64)
    before, expected = copy.deepcopy(net.state_dict()), net(images)
    pairs = fused_pairs([net, net])
    with computed_by(pairs):
        assert not torch.equal(net(images), expected)
        assert fused_pairs([net]) == []  # they are already
        assert list(net.state_dict()) == list(before)
    assert torch.equal(net(images), expected)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    with pytest.raises(ZeroDivisionError), computed_by(pairs):
        raise ZeroDivisionError
    assert torch.equal(net(images), expected)


@torch.no_grad()
def test_weights_are_those_of_now():
    net, images = network("alexnet"), torch.randn(1, 3, 64, 64)
    fused(net.features)
    for parameter in net.parameters():
        parameter.mul_(0.5)
    torch.testing.assert_close(fused(net.features)(images), net.features(images))


def hooked(features):
    features[0].register_forward_hook(lambda *_: None)


def in_training(features):
    features.train()


def in_double(features):
    features.double()


def compiled(features):
    features.compile()


@pytest.mark.parametrize("change", [hooked, in_training, in_double, compiled])
def test_other_features_are_left_alone(change):
    features = network("resnet18").features
    change(features)
    assert fused(features) is None


def test_lower_precision_is_left_alone():
    with torch.autocast("cpu", torch.bfloat16):
        assert fused(network("alexnet").features) is None


def test_nothing_to_fuse():
    assert fused(nn.Sequential(nn.AvgPool2d(2))) is None
    assert fused_pairs([nn.Linear(2, 2)]) == []


class Own(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) + 1


def replaced(convolution):
    convolution.forward = lambda x: nn.Conv2d.forward(convolution, x) + 1
    return convolution


@pytest.mark.parametrize(
    "layer",
    [
        Own(3, 4, 3),
        replaced(nn.Conv2d(3, 4, 3)),
        nn.Conv2d(3, 4, 3, padding="same"),
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
    ],
    ids=["subclass", "own forward", "padded to the same size", "reflected", "parametrized"],
)
@torch.no_grad()
def test_convolutions_of_another_kind_are_kept(layer):
    features = nn.Sequential(layer, nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
    faster, images = fused(settled(features)), torch.randn(2, 3, 9, 9)
    assert len(convolutions(faster)) == 1
    torch.testing.assert_close(faster(images), features(images), rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_block_that_was_changed_is_kept():
    net = network("resnet18")
    block, images = net.features[4][0], torch.randn(1, 3, 64, 64)
    block.bn1 = nn.GroupNorm(4, 64).eval()
    torch.testing.assert_close(fused(net.features)(images), net.features(images), rtol=0, atol=1e-4)


def test_an_image_that_is_too_small_is_told(tmp_path):
    path = str(tmp_path / "small.png")
    Image.new("RGB", (5, 4)).save(path)
    with pytest.raises(DataError, match="small.png: as an input of 5 x 4 pixels"):
        extract_vectors(network("alexnet"), [path], None, T.ToTensor())
