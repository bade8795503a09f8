"""Embeddings with proxies: shapes, groups, frozen parts, precision, weights, mistakes."""

import pytest
import torch
import torchvision

from cirtorch.utils.errors import DataError
from mdir import registry
from mdir.inference.descriptors import extract_descriptors
from mdir.networks.architectures.parts.bn_inception import BNInception
from tests import sections

SECTION = {
    "architecture": "proxy_embedding",
    "backbone": "resnet18",
    "feature_dim": 6,
    "classes": 4,
    "pretrained": False,
}


def build(backbone="resnet18", **params):
    torch.manual_seed(0)
    return registry.build("architecture", SECTION | {"backbone": backbone} | params)


def images(count, side=64):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def statistics(model):
    return {key: value.clone() for key, value in model.state_dict().items() if "running" in key}


@pytest.mark.parametrize("backbone, width", [("resnet18", 512), ("inception", 1024)])
@pytest.mark.parametrize("frozen", [True, False])
def test_statistics_of_the_backbone_stay_in_training(backbone, width, frozen):
    model = build(backbone, frozen_batch_norm=frozen)
    assert model.refactor.weight.shape == (6, width)
    before = statistics(model)
    columns = model.train()(images(2))
    assert columns.shape == (6, 2)
    torch.testing.assert_close(columns.norm(dim=0), torch.ones(2))
    after = statistics(model)
    assert all(torch.equal(before[key], after[key]) for key in before) == frozen
    assert model.maps_images_apart == frozen
    assert model.eval().maps_images_apart
    columns[0].sum().backward()
    assert all(value.grad is not None for value in model.backbone.parameters())


def test_googlenet_drops_features_in_training_alone():
    model = build("googlenet").eval()
    assert model.backbone.aux1 is None
    assert model.backbone.transform_input
    pooled = []
    model.backbone.register_forward_hook(lambda *given: pooled.append(given[-1]))
    with torch.no_grad():
        model(images(1))
        model.train()(images(1))
    kept = pooled[1] != 0
    assert 0.7 < kept[pooled[0] != 0].float().mean() < 0.9
    torch.testing.assert_close(pooled[1][kept], pooled[0][kept] / 0.8)


@pytest.mark.parametrize("size", [(80, 75), (33, 97)])
def test_bn_inception_takes_any_size(size):
    """Where a side is odd before a halving block, its branches still fit together."""
    with torch.no_grad():
        columns = build("inception").eval()(torch.rand(1, 3, *size))
    torch.testing.assert_close(columns.norm(), torch.tensor(1.0))


def test_proxies_and_cosines():
    model = build()
    torch.testing.assert_close(model.fc.weight.norm(dim=1), torch.ones(4))
    with torch.no_grad():
        model.fc.weight *= 3
    columns = torch.nn.functional.normalize(torch.randn(6, 5), dim=0)
    expected = torch.nn.functional.cosine_similarity(
        columns.T[:, None], model.fc.weight[None], dim=2
    )
    torch.testing.assert_close(model.cosines(columns), expected)
    torch.testing.assert_close(model.proxies, model.fc.weight / 3)


@pytest.mark.parametrize("pooling", ["max", "avg", "avg+max"])
@pytest.mark.parametrize("layer_norm", [True, False])
def test_pooling_and_layer_norm(pooling, layer_norm):
    model = build(pooling=pooling, layer_norm=layer_norm).eval()
    maps = []
    model.backbone.layer4.register_forward_hook(lambda *given: maps.append(given[-1]))
    with torch.no_grad():
        columns = model(images(2))
        flat = maps[0].flatten(2)
        largest, mean = flat.max(dim=2).values, flat.mean(dim=2)
        pooled = {"max": largest, "avg": mean, "avg+max": mean + largest}[pooling]
        if layer_norm:
            variance = pooled.var(dim=1, unbiased=False, keepdim=True)
            pooled = (pooled - pooled.mean(dim=1, keepdim=True)) / (variance + 1e-5).sqrt()
        expected = torch.nn.functional.normalize(pooled @ model.refactor.weight.T, dim=1)
    torch.testing.assert_close(columns.T, expected)


def test_float32_in_mixed_precision():
    model = build().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        columns = model(images(2))
        cosines = model.cosines(columns)
    assert columns.dtype == cosines.dtype == torch.float32
    expected = torch.nn.functional.linear(columns.T, model.fc.weight)
    torch.testing.assert_close(cosines, expected, atol=1e-6, rtol=0)


def test_groups_by_name():
    model = build()
    groups = model.parameter_groups({"lr": 1e-4})
    assert [group["name"] for group in groups] == ["backbone", "refactor", "fc"]
    assert groups[2]["params"] == [model.fc.weight]
    counts = [len(group["params"]) for group in groups]
    assert sum(counts) == len(list(model.parameters()))
    model.freeze_backbone()
    learning = [key for key, value in model.named_parameters() if value.requires_grad]
    assert learning == ["refactor.weight", "fc.weight"]
    model.freeze_backbone(False)
    assert all(value.requires_grad for value in model.parameters())


def test_extraction():
    network = sections.build(sections.single(dict(SECTION), wrappers=""))
    x = [images(1)[0], images(2, 48)[1]]
    descriptors = extract_descriptors(network, x)
    expected = torch.cat([network.eval().model(image[None]).detach() for image in x], dim=1)
    torch.testing.assert_close(descriptors, expected, atol=1e-6, rtol=0)


def publish(backbone, path):
    """A classifier's weights under the published keys, without counters as older files are."""
    if backbone == "inception":
        network = BNInception()
    else:
        options = {"init_weights": False} if backbone == "googlenet" else {}
        network = getattr(torchvision.models, backbone)(weights=None, **options)
    state = network.state_dict()
    torch.save({key: state[key] for key in state if "num_batches" not in key}, path)
    return state


@pytest.mark.parametrize("backbone", ["resnet18", "googlenet", "inception"])
def test_weights_of_a_classifier(root, backbone):
    state = publish(backbone, root / "own.pth")
    assert any(key.startswith("aux1.") for key in state) == (backbone == "googlenet")
    found = build(backbone, pretrained="own.pth").backbone.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in found.items())


def test_bn_inception_lies_in_the_folder_of_weights(root, monkeypatch):
    mirror = root / "mirror"
    mirror.mkdir()
    monkeypatch.setenv("CIRTORCH_MIRROR", str(mirror))
    state = publish("inception", mirror / "bn_inception-52deb4733.pth")
    model = build("inception", pretrained=True)
    assert torch.equal(model.backbone.conv1_7x7_s2.weight, state["conv1_7x7_s2.weight"])
    assert (root / "weights/bn_inception-52deb4733.pth").exists()


def test_weights_of_another_network_are_refused(root):
    publish("resnet34", root / "other.pth")
    with pytest.raises(DataError, match="other.pth: weights do not fit BNInception"):
        build("inception", pretrained="other.pth")
    torch.save({1: torch.zeros(1)}, root / "numbers.pth")
    with pytest.raises(DataError, match="numbers.pth: not a state_dict"):
        build(pretrained="numbers.pth")


@pytest.mark.parametrize(
    "params, message",
    [
        ({"backbone": "resnet5"}, "Did you mean 'resnet50'"),
        ({"pooling": "gem"}, "pooling: expected 'max'"),
        ({"classes": 0}, "classes: expected 1 or more"),
        ({"feature_dim": 0}, "feature_dim: expected 1 or more"),
    ],
)
def test_mistakes(params, message):
    with pytest.raises(registry.ComponentError, match=message):
        build(**params)
