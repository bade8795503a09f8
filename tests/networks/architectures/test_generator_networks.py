"""Generators, discriminators and patch heads beyond the published numbers."""

import numpy as np
import pytest
import torch

from mdir import registry
from mdir.errors import UserError
from mdir.networks.architectures.parts.norms import choose_norm, exact_gradients
from mdir.networks.architectures.parts.taps import parse_layers
from mdir.networks.architectures.resnet_generator import ResnetGenerator
from mdir.registry import Section


def build(architecture, **params):
    return registry.build("architecture", {"architecture": architecture, **params})


def generator(**params):
    sizes = {"input_nc": 3, "output_nc": 3, "ngf": 2, "n_blocks": 1, "norm_layer": "instance"}
    torch.manual_seed(0)
    return build("official_resnet_generator", **{**sizes, **params})


def naive_taps(network, x, layers):
    """Taps by running the network once for each of them, copying before anything goes on."""
    found = []
    for layer in layers:
        y = x.clone()
        for module in network.model[: layer + 1]:
            y = module(y)
        following = network.model[layer + 1 : layer + 2]
        rectified = len(following) and isinstance(following[0], torch.nn.ReLU)
        found.append(y.clamp(min=0) if rectified else y.clone())
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{}, {"no_antialias": False}, {"n_blocks": 0}])
def test_taps(options, dtype):
    network = generator(**options).to(dtype)
    x = torch.randn(2, 3, 16, 16, dtype=dtype)
    layers = list(range(len(network.model)))
    output, features = network(x, layers=layers)
    torch.testing.assert_close(output, network(x))
    for feature, expected in zip(features, naive_taps(network, x, layers), strict=True):
        torch.testing.assert_close(feature, expected)


def test_encoding_stops_behind_the_last_tap():
    network, x = generator(), torch.randn(1, 3, 16, 16)
    network.model[5].register_forward_hook(lambda *_: pytest.fail("went on"))
    features = network(x, layers=[0, 4], encode_only=True)
    assert [tuple(feature.shape) for feature in features] == [(1, 3, 22, 22), (1, 4, 8, 8)]


def test_minus_one_is_the_output_and_the_list_stays():
    network, x, layers = generator(), torch.randn(1, 3, 16, 16), [4, -1]
    output, features = network(x, layers=layers)
    assert torch.equal(features[1], output)
    assert layers == [4, -1]


@pytest.mark.parametrize("layers", [[8, 4], [4, 4], [4, 99], [-2, 4]])
def test_layers_that_mean_nothing_are_refused(layers):
    with pytest.raises(ValueError, match="layers must ascend and lie in 0"):
        generator()(torch.randn(1, 3, 16, 16), layers=layers, encode_only=True)


@pytest.mark.parametrize("text", ["8,4", "4,4", "-1,4", "a", ""])
def test_layer_texts(text):
    with pytest.raises(ValueError):
        parse_layers(text)


@pytest.mark.parametrize("aliased", [True, False])
def test_sizes_are_rounded_up_to_multiples_of_four(aliased):
    network = generator(no_antialias=aliased, no_antialias_up=aliased)
    assert network(torch.randn(1, 3, 37, 30)).shape == (1, 3, 40, 32)


def test_layer_channels():
    network = generator(no_antialias=False, no_antialias_up=False)
    _, features = network(torch.randn(1, 3, 16, 16), layers=list(range(len(network.model))))
    assert network.layer_channels() == [feature.shape[1] for feature in features]


@pytest.mark.parametrize(
    "options, layers, pure",
    [
        ({}, [4, 8], False),  # the ReLU behind a last norm tap changes it
        ({}, [4, 9], True),
        ({"norm_layer": "batch"}, [4, 9], False),
        ({"use_dropout": True}, [4, 9], False),
        ({"norm_layer": "none"}, [4], False),
    ],
)
def test_which_taps_can_be_shared(options, layers, pure):
    assert generator(**options).train().taps_are_pure(layers) is pure


@pytest.mark.parametrize("aliased", [True, False])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_smallest_image_of_a_discriminator(n_layers, aliased):
    sizes = {"input_nc": 3, "ndf": 2, "n_layers": n_layers, "no_antialias": aliased}
    network = build("official_p2p_discriminator", norm_layer="none", **sizes)
    least = 3 * 2**n_layers
    assert network(torch.randn(1, 3, least, least)).shape == (1, 1, 1, 1)
    with pytest.raises(UserError, match=f"each side needs at least {least}"):
        network(torch.randn(1, 3, least, least - 1))


@pytest.mark.parametrize(
    "architecture, params, least",
    [
        ("hed_interpolation", {}, 16),
        ("rcf", {}, 9),
        ("official_resnet_generator", {"input_nc": 3, "output_nc": 3, "ngf": 2}, 5),
    ],
)
def test_smallest_image(architecture, params, least):
    network = build(architecture, **params).eval()
    network(torch.randn(1, 3, least, least))
    with pytest.raises(UserError, match=f"at least {least}"):
        network(torch.randn(1, 3, 50, least - 1))


@pytest.mark.parametrize(
    "architecture, params, multiple",
    [
        ("official_p2p_unet_generator", {"num_downs": 5, "ngf": 2}, 32),
        ("orig_unet", {"nested_levels": 2, "min_channels": 8}, 4),
        ("p2p_unet", {"nested_levels": 2}, 8),
        ("outconv_unet", {"nested_levels": 0}, 2),
        ("outconv_unet", {"nested_levels": 1, "dropout": 0.5, "batchnorm": True}, 4),
        ("shallow_p2p_unet", {"nested_levels": 1}, 4),
        ("inconv_p2p_unet", {"nested_levels": 1}, 4),
        ("aligned_p2p_unet", {"nested_levels": 2}, 4),
    ],
)
def test_sides_of_unets(architecture, params, multiple):
    key = "put_nc" if architecture.startswith("official") else "_channels"
    channels = {("in" + key): 3, ("out" + key): 2}
    network = build(architecture, **channels, **params).eval()
    assert network(torch.randn(2, 3, 2 * multiple, multiple)).shape == (
        2,
        2,
        2 * multiple,
        multiple,
    )
    with pytest.raises(UserError, match=f"multiples of {multiple}"):
        network(torch.randn(1, 3, multiple, multiple + 1))


def test_the_outermost_level_of_the_interpolating_unet_has_no_norm():
    params = {"in_channels": 3, "out_channels": 2, "nested_levels": 2, "batchnorm": True}
    keys = list(build("outconv_dynint_unet", **params).state_dict())
    assert len(keys) == 34
    assert keys[:4] == [
        "down.0.weight",
        "down.0.bias",
        "down.2.down.0.weight",
        "down.2.down.0.bias",
    ]


@pytest.mark.parametrize(
    "architecture, halving",
    [
        ("outconv_dynint_unet", ["down.0", "down.2.down.0"]),
        ("shallow_p2p_unet", ["outerblock.0", "outerblock.4.nested.0"]),
        ("inconv_p2p_unet", ["outerblock.2", "outerblock.4.nested.0"]),
        ("aligned_p2p_unet", ["outerblock.4.nested.0"]),
    ],
)
def test_options_of_convolutions(architecture, halving):
    params = {"in_channels": 3, "out_channels": 2, "nested_levels": 1}
    options = {"kernel_size": 2, "padding": 0, "bias": False}
    network = build(architecture, conv_opts=options, **params).eval()
    for name in halving:
        layer = network.get_submodule(name)
        assert layer.kernel_size == (2, 2) and layer.stride == (2, 2) and layer.bias is None, name
    assert network(torch.randn(1, 3, 16, 8)).shape == (1, 2, 16, 8)
    plain = build(architecture, **params).state_dict()
    assert list(build(architecture, conv_opts={}, **params).state_dict()) == list(plain)


def test_options_behind_an_interpolation_and_of_norms():
    params = {"in_channels": 3, "out_channels": 2, "nested_levels": 1, "batchnorm": True}
    options = {"kernel_size": 5, "padding": 2}
    network = build("outconv_dynint_unet", upconv_opts=options, **params)
    for name in ("up.0", "down.2.up.0"):
        assert network.get_submodule(name).kernel_size == (5, 5)
    assert network.get_submodule("up.2").kernel_size == (3, 3)
    network = build("outconv_unet", batchnorm_opts={"momentum": 0.5, "affine": False}, **params)
    norms = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert norms and {(norm.momentum, norm.affine) for norm in norms} == {(0.5, False)}


def test_interpolating_unet_takes_any_size():
    params = {"in_channels": 3, "out_channels": 1, "nested_levels": 1, "batchnorm": True}
    assert build("outconv_dynint_unet", **params)(torch.randn(2, 3, 13, 17)).shape == (2, 1, 13, 17)


@pytest.mark.parametrize(
    "architecture, params, path",
    [
        (
            "official_resnet_generator",
            {"input_nc": 3, "output_nc": 3, "norm_layer": "layer"},
            "norm",
        ),
        (
            "official_p2p_unet_generator",
            {"input_nc": 3, "output_nc": 3, "num_downs": 4},
            "num_downs",
        ),
        ("outconv_unet", {"in_channels": 3, "out_channels": 3, "outconv_kernel": 4}, "outconv"),
        ("official_p2p_mlp", {"nce_layers": "8,4"}, "nce_layers"),
    ],
)
def test_parameters_are_checked_before_anything_is_built(architecture, params, path):
    section = {"architecture": architecture, **params}
    (problem,) = registry.check(Section("architecture"), section)
    assert problem.path[0].startswith(path)


def test_norm_names():
    with pytest.raises(UserError, match="unknown norm_layer 'layer'"):
        choose_norm("layer")
    assert choose_norm(torch.nn.InstanceNorm2d)[1] is True
    assert choose_norm(torch.nn.BatchNorm2d)[1] is False


def test_l2_normalization():
    network = build("normalization_l2")
    x = torch.randn(2, 5, 3, 3, dtype=torch.float64)
    expected = x / ((x**2).sum(1, keepdim=True).sqrt() + 1e-6)
    torch.testing.assert_close(network(x), expected)
    assert network.meta == {}


# The patch head.


def naive_head(head, feats, places):
    found = []
    for index, (feat, ids) in enumerate(zip(feats, places, strict=True)):
        mlp = getattr(head, f"mlp_{index}")
        rows = []
        for image in feat:
            for place in ids:
                row = mlp(image[:, place // feat.shape[3], place % feat.shape[3]])
                rows.append(row / ((row**2).sum() ** 0.5 + 1e-7))
        found.append(torch.stack(rows))
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_patch_head(dtype):
    head = build("official_p2p_mlp", nc=6, channels=[4, 7]).to(dtype)
    feats = [torch.randn(2, 4, 5, 6, dtype=dtype), torch.randn(2, 7, 2, 2, dtype=dtype)]
    np.random.seed(3)
    vectors, places = head(feats, 8)
    np.random.seed(3)
    drawn = [np.random.permutation(30)[:8], np.random.permutation(4)]
    for ids, expected in zip(places, drawn, strict=True):
        np.testing.assert_array_equal(ids, expected)
    for rows, expected in zip(vectors, naive_head(head, feats, drawn), strict=True):
        torch.testing.assert_close(rows, expected)
    again, _ = head(feats, 8, places)
    torch.testing.assert_close(again, vectors)


def test_dense_features_have_unit_length_at_every_place():
    head = build("official_p2p_mlp", use_mlp=False, channels=[4])
    (dense,), places = head([torch.randn(2, 4, 3, 5)], 0)
    assert dense.shape == (2, 4, 3, 5)
    torch.testing.assert_close(dense.norm(dim=1), torch.ones(2, 3, 5))
    assert places == [[]]


def test_a_feature_of_zeros_has_a_finite_gradient():
    head = build("official_p2p_mlp", use_mlp=False, channels=[4])
    feat = torch.zeros(1, 4, 2, 2, requires_grad=True)
    head([feat], 4)[0][0].sum().backward()
    assert torch.isfinite(feat.grad).all()


def test_channels_come_from_the_generators_parameters():
    params = {"ngf": 2, "n_blocks": 5, "no_antialias": False}
    network = generator(**params)
    layers = [0, 4, 8, 12, 16]
    features = network(torch.randn(1, 3, 32, 32), layers=layers, encode_only=True)
    head = build("official_p2p_mlp", nce_layers="0,4,8,12,16", nc=4, **params)
    assert head.channels == [feature.shape[1] for feature in features]


def test_a_head_of_another_generator_says_so():
    head = build("official_p2p_mlp", nce_layers="4,8", nc=4)
    features = generator()(torch.randn(1, 3, 16, 16), layers=[4, 8], encode_only=True)
    with pytest.raises(UserError, match=r"\[128, 256\] channels and got \[4, 8\]"):
        head(features, 4)
    with pytest.raises(UserError, match="layers are 0..18"):
        build("official_p2p_mlp", nce_layers="4,40", n_blocks=0)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_of_instance_normalization(batch, layout):
    layer = torch.nn.InstanceNorm2d(4)
    exact_gradients(layer)
    exact_gradients(layer)
    assert len(layer._forward_hooks) == 1
    generator = torch.Generator().manual_seed(0)
    image, arriving = torch.randn((2, batch, 4, 6, 6), dtype=torch.float64, generator=generator)
    by_hand = image.clone().requires_grad_()
    centred = by_hand - by_hand.mean((2, 3), keepdim=True)
    scale = (centred.square().mean((2, 3), keepdim=True) + layer.eps).rsqrt()
    (centred * scale).backward(arriving)
    given = image.clone(memory_format=layout).requires_grad_()
    layer(given).backward(arriving.contiguous(memory_format=layout))
    torch.testing.assert_close(given.grad, by_hand.grad)


def test_images_are_learned_apart():
    sizes = {"input_nc": 3, "output_nc": 3, "ngf": 2, "n_blocks": 1}
    for norm, apart in (("none", True), ("instance", False), ("batch", False)):
        network = ResnetGenerator(**sizes, norm_layer=norm)
        assert network.learns_images_apart() is apart
        exact_gradients(network)
        assert network.learns_images_apart() is (norm != "batch")
        assert network.eval().learns_images_apart()
    assert not ResnetGenerator(**sizes, norm_layer="none", use_dropout=True).learns_images_apart()
