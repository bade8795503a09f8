"""Losses of the generators against loops written for clarity."""

import math

import pytest
import torch

from mdir import registry
from mdir.errors import UserError
from mdir.losses.multihead import HEADS
from mdir.losses.value import as_named
from mdir.registry import ComponentError, Section

DTYPES = [torch.float32, torch.float64]


def build(loss, **params):
    return registry.build("criterion", {"loss": loss, **params})


def problems(loss, **params):
    section = {"loss": loss, **params}
    return [(p.path, p.message) for p in registry.check(Section("criterion"), section)]


def pairs(dtype, shape=(2, 3, 4)):
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(shape, dtype=dtype, generator=generator) * 0.8 + 0.1 for _ in range(2))


NAIVE = {
    "l1": lambda a, b: abs(a - b),
    "mse": lambda a, b: (a - b) ** 2,
    "bce": lambda a, b: -(b * math.log(a) + (1 - b) * math.log(1 - a)),
    "bce_with_logits": lambda a, b: (
        -(b * math.log(1 / (1 + math.exp(-a))) + (1 - b) * math.log(1 - 1 / (1 + math.exp(-a))))
    ),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAIVE)
def test_elementwise(name, dtype):
    output, target = pairs(dtype)
    items = list(zip(output.flatten().tolist(), target.flatten().tolist(), strict=True))
    total = sum(NAIVE[name](a, b) for a, b in items)
    mean = build(name)(output, target)
    assert float(mean) == pytest.approx(total / len(items), rel=1e-5)
    assert float(build(name, reduction="sum")(output, target)) == pytest.approx(total, rel=1e-5)


def test_weight_of_positives():
    output, target = pairs(torch.float64)
    items = list(zip(output.flatten().tolist(), target.flatten().tolist(), strict=True))
    expected = sum(
        -(3 * b * math.log(1 / (1 + math.exp(-a))) + (1 - b) * math.log(1 - 1 / (1 + math.exp(-a))))
        for a, b in items
    ) / len(items)
    loss = build("bce_with_logits", pos_weight=3)
    assert float(loss(output, target)) == pytest.approx(expected, rel=1e-6)


def test_no_gradient_reaches_the_target_of_bce():
    output, target = (x.requires_grad_() for x in pairs(torch.float64))
    build("bce")(output, target).backward()
    assert target.grad is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("real, fake", [(0.0, 1.0), (1.0, 0.0), (0.9, 0.1)])
def test_discriminator_loss(dtype, real, fake):
    maps = [torch.randn(2, 1, side, side, dtype=dtype) for side in (5, 3)]
    loss = build("discriminator_loss", criterion={"loss": "mse"}, real=real, fake=fake)
    for is_real, constant in ((True, real), (False, fake)):
        expected = [
            sum((v - constant) ** 2 for v in m.flatten().tolist()) / m.numel() for m in maps
        ]
        assert float(loss(maps[0], is_real)) == pytest.approx(expected[0], rel=1e-5)
        named = as_named(loss(maps, is_real))
        assert list(named) == ["total", "layer1", "layer0"]
        values = [float(value) for value in named.values()]
        assert values == pytest.approx([sum(expected), *expected], rel=1e-5)


def naive_patchnce(query, key, groups, temperature):
    size, losses = len(query) // groups, []
    for n in range(len(query)):
        group = range(n // size * size, (n // size + 1) * size)
        positive = float(query[n] @ key[n])
        negatives = [-10.0 if m == n else float(query[n] @ key[m]) for m in group]
        exponents = [math.exp(s / temperature) for s in (positive, *negatives)]
        losses.append(math.log(sum(exponents)) - positive / temperature)
    return losses


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_patchnce(dtype, groups):
    torch.manual_seed(1)
    shapes = [(12, 5), (6, 7)]
    queries, keys = (
        [torch.nn.functional.normalize(torch.randn(s, dtype=dtype), dim=1) for s in shapes]
        for _ in range(2)
    )
    params = {"batch_dim_for_bmm": groups, "num_patches": 4, "temperature": 0.1, "weight": 0.5}
    loss = build("multilayer_patchnce_loss", nce_layers="4,8", **params)
    expected = [
        0.5 * sum(naive_patchnce(q, k, groups, 0.1)) / len(q)
        for q, k in zip(queries, keys, strict=True)
    ]
    named = as_named(loss(queries, keys, images=6))
    assert list(named) == ["total", "layer4", "layer8"]
    values = [float(value) for value in named.values()]
    assert values == pytest.approx([sum(expected) / 2, *expected], rel=1e-4)


def patchnce(**changes):
    params = {"batch_dim_for_bmm": 1, "nce_layers": "4", "num_patches": 4, "temperature": 0.07}
    return {**params, **changes}


def test_patchnce_refuses_what_does_not_fit():
    loss = build("multilayer_patchnce_loss", **patchnce(batch_dim_for_bmm=2))
    rows = torch.randn(3, 4)
    with pytest.raises(UserError, match="1 query and 2 key layers|2 query and 2 key layers"):
        loss([rows, rows], [rows, rows])
    with pytest.raises(UserError, match="a batch of 3 patches cannot be split"):
        loss([rows], [rows])
    rows = torch.randn(12, 4)
    with pytest.raises(UserError, match="a batch of 3 images cannot be split"):
        loss([rows], [rows])


@pytest.mark.parametrize("images", [None, 2])
def test_patchnce_of_a_smaller_last_batch_has_negatives_from_whole_images(images):
    query, key = torch.nn.functional.normalize(torch.randn(2, 8, 5), dim=2)
    loss = build("multilayer_patchnce_loss", **patchnce(batch_dim_for_bmm=4))
    expected = sum(naive_patchnce(query, key, 2, 0.07)) / 8
    assert loss([query], [key], images=images).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "changes, path",
    [
        ({"nce_layers": "8,4"}, ("nce_layers",)),
        ({"nce_layers": "4,x"}, ("nce_layers",)),
        ({"temperature": 0}, ("temperature",)),
        ({"batch_dim_for_bmm": 0}, ("batch_dim_for_bmm",)),
        ({"margin": 1}, ("margin",)),
    ],
)
def test_patchnce_parameters_are_checked(changes, path):
    assert [p for p, _ in problems("multilayer_patchnce_loss", **patchnce(**changes))] == [path]


def test_weights_and_losses_have_the_same_names():
    l1 = {"loss": "l1"}
    found = problems(
        "multihead_loss", weights={"a": 1, "x": 1}, normalize_weights=False, a=l1, b=l1
    )
    assert {path for path, _ in found} == {("weights", "x"), ("weights",)}
    found = problems("multihead_loss", weights={"a": 0}, normalize_weights=True, a=l1)
    assert "add up to 0" in found[0][1]


def test_a_mistake_deep_inside_is_found():
    judge = {"loss": "discriminator_loss", "criterion": {"loss": "msee"}}
    head = {
        "loss": "multihead_loss",
        "weights": 1,
        "normalize_weights": False,
        "adversarial": judge,
    }
    found = problems("cycle_loss", loss_G_X=head, loss_G_Y=head, loss_D_X=judge, loss_D_Y=judge)
    paths = [path for path, _ in found]
    assert ("loss_G_X", "adversarial", "criterion", "loss") in paths
    assert all("mse" in message for _, message in found)


def test_cycle_loss_wants_the_types_that_cyclegan_calls():
    l1 = {"loss": "l1"}
    found = problems("cycle_loss", loss_G_X=l1, loss_G_Y=l1, loss_D_X=l1, loss_D_Y=l1)
    assert [message.split(",")[0] for _, message in found] == [
        "expected 'multihead_loss'",
        "expected 'multihead_loss'",
        "expected 'discriminator_loss'",
        "expected 'discriminator_loss'",
    ]


def test_nested_heads_are_logged_with_dots():
    inner = {"loss": "combination_loss", "weights": {"p": 2, "q": 3}, "normalize_weights": False}
    inner |= {"p": {"loss": "l1"}, "q": {"loss": "mse"}}
    loss = build("multihead_loss", weights=1, normalize_weights=False, pixel=inner)
    a, b = pairs(torch.float64)
    named = as_named(loss({"pixel": a}, {"pixel": b}))
    assert list(named) == ["total", "pixel", "pixel.p", "pixel.q"]
    assert float(named["pixel.p"]) == pytest.approx(2 * float((a - b).abs().mean()))
    assert float(named["total"]) == pytest.approx(float(named["pixel.p"] + named["pixel.q"]))


def test_loss_set_holds():
    losses = build("loss_set", pixel={"loss": "l1"})
    assert "pixel" in losses
    assert losses["pixel"].reduction == "mean"


def test_a_missing_weight_is_an_error_at_construction():
    with pytest.raises(ComponentError, match="missing the weight of loss 'b'"):
        l1 = {"loss": "l1"}
        build("multihead_loss", weights={"a": 1}, normalize_weights=False, a=l1, b=l1)


def test_every_head_that_a_method_calls_is_known_to_be_spelt_right():
    methods = [registry.lookup("method", name) for name in registry.names("method")]
    called = {head for method in methods for head in getattr(method, "heads", ())}
    assert called == set(HEADS) - {"cycle"}  # which cyclegan asks for by itself
