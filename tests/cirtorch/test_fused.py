"""Fused features give the descriptors of the features, and step aside where they would not."""

import copy
import pickle

import pytest
import torch
import torchvision.transforms as T
from PIL import Image
from torch import nn
from torchvision.models.resnet import BasicBlock

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


def test_features_with_gradients_are_themselves():
    """Such as another thread's training asks for, while descriptors are extracted here."""
    features, images = network("alexnet").features, torch.randn(1, 3, 64, 64)
    with computed_by([(features, fused(features))]):
        features(images).sum().backward()
        assert features[0].weight.grad.abs().sum() > 0
        with torch.no_grad():
            assert features(images[0]).shape == (256, 3, 3)  # no batch
            with torch.autocast("cpu", torch.bfloat16):
                assert features(images).dtype == torch.bfloat16
            features.train()
            drawn = [features.append(nn.Dropout())(images) for _ in range(2)]
    assert not torch.equal(*drawn)


@torch.no_grad()
def test_a_copy_made_meanwhile_computes_by_itself():
    features, images = network("resnet18").features, torch.randn(1, 3, 64, 64)
    with computed_by(fused_pairs([nn.ModuleDict({"features": features})])):
        made = [copy.deepcopy(features), pickle.loads(pickle.dumps(features))]
    for each in made:
        for parameter in each.parameters():
            parameter.zero_()
        assert not each(images).any() and features(images).any()


@pytest.mark.parametrize("where", ["image", "weight", "variance"])
@torch.no_grad()
def test_what_is_not_a_number_stays_so(where):
    features, images = network("resnet18").features, torch.randn(1, 3, 64, 64)
    norm = next(each for each in features.modules() if isinstance(each, nn.BatchNorm2d))
    place = {"image": images, "weight": features[0].weight, "variance": norm.running_var}[where]
    place.view(-1)[0] = float("nan")
    assert features(images).isnan().any()
    assert torch.equal(fused(features)(images).isnan(), features(images).isnan())


@torch.no_grad()
def test_a_sum_that_cannot_be_is_refused():
    block = BasicBlock(8, 8, stride=2)  # whose input is larger than what is added to it
    with pytest.raises(RuntimeError, match="size of tensor"):
        fused(nn.Sequential(block).eval())(torch.randn(1, 8, 9, 9))


@torch.no_grad()
def test_weights_that_lie_apart():
    features, images = network("alexnet").features, torch.randn(1, 3, 64, 64)
    features[0].bias = nn.Parameter(torch.randn(128)[::2])
    features[0].weight = nn.Parameter(torch.randn(11, 11, 3, 64).permute(3, 2, 0, 1))
    bound = 1e-5 * float(features(images).abs().max())
    torch.testing.assert_close(fused(features)(images), features(images), rtol=0, atol=bound)


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


def replaced(features):
    """A rectification of the user's own, as of guided gradients."""
    features[2].forward = torch.sigmoid


def followed_by_own(features):
    features.append(Part())


@pytest.mark.parametrize(
    "change", [hooked, in_training, in_double, compiled, replaced, followed_by_own]
)
def test_other_features_are_left_alone(change):
    features = network("resnet18").features
    change(features)
    assert fused(features) is None


class Part(nn.Module):
    """Takes a part of a sequence, which would be another one in the fused form."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(512, 4, 1), nn.BatchNorm2d(4), nn.ReLU())

    def forward(self, x):
        return self.layers[0](x)


def test_features_are_left_alone_while_every_layer_is_hooked():
    hook = nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert fused(network("alexnet").features) is None
    hook.remove()


def test_lower_precision_is_left_alone():
    with torch.autocast("cpu", torch.bfloat16):
        assert fused(network("alexnet").features) is None


def test_nothing_to_fuse():
    assert fused(nn.Sequential(nn.AvgPool2d(2))) is None
    assert fused_pairs([nn.Linear(2, 2)]) == []
    assert fused_pairs([torch.compile(network("alexnet"))]) == []


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 4, 3, padding="same"),
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
    ],
    ids=["padded to the same size", "reflected", "parametrized"],
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
