"""Re-identification networks: parts of a batch, domains, statistics, weights, mistakes."""

import copy

import pytest
import torch
import torchvision
from torch import nn

from cirtorch.utils.errors import DataError
from mdir import registry
from mdir.errors import UserError
from mdir.inference.descriptors import extract_descriptors
from mdir.networks.architectures.parts.domain_norm import DSBN2d, convert_bn, convert_dsbn
from mdir.networks.architectures.parts.resnet_ibn import resnet_ibn
from mdir.networks.architectures.reid_resnet import BACKBONES
from tests import sections

SIZE = (32, 16)


def build(backbone="resnet18", **params):
    section = {"architecture": "reid_resnet", "backbone": backbone, "pretrained": False}
    torch.manual_seed(0)
    return registry.build("architecture", section | params)


def images(count, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, *SIZE, generator=generator, dtype=dtype)


def same(found, expected, atol=1e-8):
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


@pytest.mark.parametrize("backbone", [name for name in BACKBONES if "101" not in name])
def test_the_stride_is_16_and_descriptors_are_unit_columns(backbone):
    model = build(backbone).eval()
    x = torch.rand(2, 3, 64, 32)
    with torch.no_grad():
        assert model.base(x).shape[2:] == (4, 2)
        columns = model(x)
    assert columns.shape == (model.meta["out_channels"], 2)
    same(columns.norm(dim=0), torch.ones(2), 1e-5)


def test_depths():
    """Layers of the two that are not built elsewhere, counted without their weights."""
    with torch.device("meta"):
        counts = {
            name: [len(layer) for layer in build(name).base[4:]]
            for name in ("resnet101", "resnet_ibn101a")
        }
    assert list(counts.values()) == [[3, 4, 23, 3]] * 2


def test_extraction_takes_them_as_they_are():
    section = {"architecture": "reid_resnet", "backbone": "resnet18", "pretrained": False}
    network = sections.build(sections.single(section, wrappers=""))
    x = list(images(3, dtype=torch.float32))
    descriptors = extract_descriptors(network, x)
    expected = torch.cat([network.model(image[None]).detach() for image in x], dim=1)
    same(descriptors, expected, 1e-6)
    several = network([image[None] for image in x])  # a list of batches is one batch
    same(torch.cat(several, dim=1).detach(), expected, 1e-6)
    assert network.model.maps_images_apart


def test_batches_of_a_list_stay_apart_in_training():
    section = {"architecture": "reid_resnet", "backbone": "resnet18", "pretrained": False}
    network = sections.build(sections.single(section, wrappers="")).train()
    batches = [images(4, seed, torch.float32) for seed in (0, 1)]
    for found, batch in zip(network(batches), batches, strict=True):
        same(found, network(batch), 1e-6)


@pytest.mark.parametrize(
    ("backbone", "domains"),
    [
        ("resnet18", 1),
        ("resnet18", 2),
        pytest.param("resnet_ibn50a", 1, marks=pytest.mark.slow),
        ("resnet_ibn50a", 2),
    ],
)
def test_groups_are_devices(backbone, domains):
    """Each device gets its part of every domain and normalises it alone; the first one's stays."""
    whole = build(backbone, domains=domains, bn_groups=2, norm=True).double()
    device = build(backbone, domains=domains, norm=True).double()
    device.load_state_dict(whole.state_dict())
    devices = [device, copy.deepcopy(device)]
    batch = images(4 * domains)
    shares = batch.reshape(domains, 2, 2, 3, *SIZE).transpose(0, 1).flatten(1, 2)
    columns = [model.train()(share) for model, share in zip(devices, shares, strict=True)]
    expected = torch.stack(columns, 1).unflatten(2, (domains, 2)).transpose(1, 2).flatten(1)
    found = whole.train()(batch)
    same(found, expected)
    kept = devices[0].state_dict()
    for key, value in whole.state_dict().items():
        same(value, kept[key])
    weights = torch.rand(found.shape, generator=torch.Generator().manual_seed(1))
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    for each, *parts in zip(*(model.parameters() for model in (whole, *devices)), strict=True):
        if each.requires_grad:
            same(each.grad, sum(part.grad for part in parts), 1e-6)


def test_domains_see_their_half():
    model = DSBN2d(nn.BatchNorm2d(3)).double().train()
    batch = images(6)
    found = model(batch)
    halves = [nn.BatchNorm2d(3).double(), nn.BatchNorm2d(3).double()]
    same(found, torch.cat([norm(x) for norm, x in zip(halves, batch.split(3), strict=True)]))
    for member, norm in zip((model.BN_S, model.BN_T), halves, strict=True):
        same(member.running_mean, norm.running_mean)
        same(member.running_var, norm.running_var)
    model.eval()
    same(model(batch), halves[1].eval()(batch))
    model.statistics = "source"
    same(model(batch), halves[0].eval()(batch))


def test_conversion_both_ways():
    model = build("resnet_ibn50a", features=8)
    before = copy.deepcopy(model.state_dict())
    assert not model.feat_bn.bias.requires_grad
    convert_dsbn(model)
    state = model.state_dict()
    for key in ("base.1.BN_S.weight", "base.4.0.downsample.1.BN_T.running_mean"):
        assert key in state
    assert {"base.4.0.bn1.BN.BN_S.weight", "base.4.0.bn1.IN.weight"} < set(state)
    assert model.feat_bn.BN_S.bias.requires_grad and model.feat_bn.BN_T.bias.requires_grad
    count = len(state)
    assert len(convert_dsbn(model).state_dict()) == count  # nothing inside one is converted
    with torch.no_grad():
        model.base[1].BN_S.weight.fill_(2)
    source = convert_bn(copy.deepcopy(model), "source").state_dict()
    target = convert_bn(model).state_dict()
    assert list(source) == list(target) == list(before)
    assert source["base.1.weight"].eq(2).all()
    assert all(torch.equal(target[key], before[key]) for key in before)


def with_domains(**runtime):
    section = {"architecture": "reid_resnet", "backbone": "resnet18", "pretrained": False}
    return sections.build(sections.single(section | {"domains": 2}, wrappers="", **runtime))


def test_statistics_are_a_matter_of_the_runtime():
    network = with_domains()
    network.train()
    network(torch.cat([images(4), 3 * images(4, seed=1)]).float())
    network.eval()
    batch = images(2).float()
    target, chosen = network(batch), {}
    for name in ("source", "target"):
        link = network.overlay_params({"runtime": {"model": {"statistics": name}}})
        chosen[name] = link(batch)
        assert link.model.base[0].weight is network.model.base[0].weight
    same(chosen["target"], target)
    assert not torch.allclose(chosen["source"], target, atol=1e-3)
    same(network(batch), target)  # the network itself is as it was
    source = with_domains(model={"statistics": "source"})
    source.model.load_state_dict(network.model.state_dict())
    same(source.eval()(batch), chosen["source"])


def test_training_outputs():
    x = images(4)

    def rows(**params):
        return build(features=6, **params).double().train()(x).T

    plain = rows(norm=False)
    assert plain.min() == 0 and plain.max() > 1  # rectified, of any length
    same(rows(norm=True).norm(dim=1), torch.ones(4, dtype=torch.float64))
    assert rows(num_classes=5).shape == (4, 5)
    dropped = rows(dropout=0.5)
    assert 0 < (dropped == 0).double().mean() < 1
    cut = build(cut_at_pooling=True, pooling="avg+max").double().eval()
    maps = cut.base(x)
    same(cut(x).T, maps.amax((2, 3)) + maps.mean((2, 3)))


def test_descriptors_are_float32_in_mixed_precision():
    model = build(norm=True).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        columns = model(images(4).float())
    assert columns.dtype == torch.float32
    same(columns.norm(dim=0), torch.ones(4), 1e-5)


def test_weights_of_ibn_lie_in_the_folder(root):
    with pytest.raises(DataError, match=r"resnet50_ibn_a.pth.tar: is absent.*XingangPan/IBN-Net"):
        build("resnet_ibn50a", pretrained=True)
    state = resnet_ibn("resnet_ibn50a", nn.BatchNorm2d).state_dict()
    wrapped = {"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 1}
    (root / "weights").mkdir()
    torch.save(wrapped, root / "weights/resnet50_ibn_a.pth.tar")
    torch.save(state, root / "own.pth")
    for source in (True, "own.pth"):
        model = build("resnet_ibn50a", pretrained=source, domains=2)
        assert torch.equal(model.base[0].weight, state["conv1.weight"])
        for member in ("BN_S", "BN_T"):
            found = model.state_dict()[f"base.4.0.bn1.BN.{member}.weight"]
            assert torch.equal(found, state["layer1.0.bn1.BN.weight"])


def test_weights_of_another_network_are_refused(root):
    torch.save(torchvision.models.resnet34(weights=None).state_dict(), root / "other.pth")
    with pytest.raises(DataError, match="other.pth: weights do not fit ResNet"):
        build(pretrained="other.pth")


@pytest.mark.parametrize(
    "params, message",
    [
        ({"backbone": "resnet_ibn50"}, "Did you mean 'resnet_ibn50a'"),
        ({"pooling": "gemFpn"}, "pooling: expected 'avg'"),
        ({"domains": 3}, "domains: expected 1 or 2"),
        ({"bn_groups": 0}, "bn_groups: expected 1 or more"),
        ({"cut_at_pooling": True, "features": 8}, "features: has no effect"),
    ],
)
def test_mistakes(params, message):
    with pytest.raises(registry.ComponentError, match=message):
        build(**params)


@pytest.mark.parametrize(
    "params, count, message",
    [
        ({"domains": 2}, 5, "domains: a training batch of 5 images cannot be divided into 2"),
        ({"bn_groups": 4}, 6, "bn_groups: a training batch of 6 images cannot be divided into 4"),
        ({"bn_groups": 4}, 4, "bn_groups: 4 images in 4 parts are one in each.*lower bn_groups"),
        ({"bn_groups": 2, "domains": 2}, 4, "bn_groups: 2 images in 2 parts are one in each"),
        ({}, 1, "a training batch of one image.*; raise batch_size, and set drop_last: true"),
        ({"domains": 2}, 2, "a training batch of one image, or of one of each domain, gives"),
    ],
)
def test_batches_that_do_not_divide(params, count, message):
    with pytest.raises(UserError, match=message):
        build(**params).double().train()(images(count))


def test_statistics_that_are_not_there():
    with pytest.raises(registry.ComponentError, match=r"runtime.model.statistics: expected 't"):
        with_domains(model={"statistics": "sauce"})
    section = {"architecture": "reid_resnet", "backbone": "resnet18", "pretrained": False}
    with pytest.raises(UserError, match="of one domain has one set of statistics"):
        sections.build(sections.single(section, wrappers="", model={"statistics": "source"}))
    sections.build(sections.single(section, wrappers="", model={"statistics": "target"}))
