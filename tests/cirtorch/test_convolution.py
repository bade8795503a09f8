"""The quick ways of a convolution give the numbers of torch's own, where they are taken at all."""

import copy
import io
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.utils.flop_counter import FlopCounterMode

from cirtorch.layers import convolution, winograd
from cirtorch.layers.convolution import Conv2d

CLOSE = 1e-5  # of the greatest
LARGE = (128, 256, 3)  # channels in and out, side of the filter


def layers(*args, **kwargs):
    """The layer, and torch's own with the same weights."""
    torch.manual_seed(0)
    quick = Conv2d(*args, **kwargs)
    plain = nn.Conv2d(*args, **kwargs)
    plain.load_state_dict(quick.state_dict())
    return quick, plain


def exact(plain, x, gradient):
    """Output and gradients of input and parameters in double precision."""
    plain, x = copy.deepcopy(plain).double(), x.detach().double().requires_grad_()
    return computed(plain, x, gradient.double())


def computed(layer, x, gradient):
    result = layer(x)
    return result.detach(), *torch.autograd.grad(result, (x, *layer.parameters()), gradient)


def is_direct(layer, x):
    """Whether the layer multiplies as often as its formula says."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(x)
    names = {str(name) for name in counter.get_flop_counts()["Global"]}
    assert names in ({"aten.convolution"}, {"aten.bmm", "aten.mm"})
    return names == {"aten.convolution"}


def assert_close(found, wanted, tolerance=CLOSE):
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() <= tolerance * other.abs().max()


@pytest.mark.parametrize("bias", (True, False))
@pytest.mark.parametrize(
    ("shape", "padding"),
    (
        ((1, 128, 32, 32), 1),
        ((1, 128, 34, 34), 0),
        ((1, 128, 30, 31), 2),
        ((1, 128, 47, 33), (0, 2)),
        ((3, 128, 21, 22), 1),
        ((8, 128, 12, 18), (2, 1)),
    ),
)
def test_output_and_gradients(shape, padding, bias):
    quick, plain = layers(*LARGE, padding=padding, bias=bias)
    x = torch.randn(shape, requires_grad=True)
    gradient = torch.randn_like(plain(x))
    assert not is_direct(quick, x)
    found = computed(quick, x, gradient)
    assert_close(found, exact(plain, x, gradient))
    assert all(one.is_contiguous() for one in found)


def test_rounding_is_near_that_of_the_direct_convolution():
    quick, plain = layers(256, 256, 3, padding=1)
    x = torch.randn(1, 256, 32, 32, requires_grad=True)
    gradient = torch.randn_like(plain(x))
    wanted = exact(plain, x, gradient)
    errors = [
        [
            float((one - other).norm() / other.norm())
            for one, other in zip(found, wanted, strict=True)
        ]
        for found in (computed(quick, x, gradient), computed(plain, x, gradient))
    ]
    assert max(errors[0]) <= 2e-6
    assert all(ours <= 10 * direct for ours, direct in zip(*errors, strict=True))


def test_blocks_of_rows_give_the_same(monkeypatch):
    quick, plain = layers(*LARGE, padding=1)
    x = torch.randn(2, 128, 30, 40, requires_grad=True)
    gradient = torch.randn_like(plain(x))
    whole = computed(quick, x, gradient)
    row = 36 * 4 * 256 * 10
    for size in (1, 3 * row, 2 * 3 * row):  # one row of one image at a time; three; of both images
        monkeypatch.setattr(winograd, "_BLOCK_BYTES", size)
        assert_close(computed(quick, x, gradient), whole, 5e-6)


@pytest.mark.parametrize("shape", ((1, 1024, 1024), (64, 64, 64), (8, 2048, 512), (3, 64, 64)))
def test_blocks_hold_every_tile_once_and_few_at_a_time(shape):
    count, height, width = shape
    down, right = height // 4, width // 4
    blocks = winograd._blocks(torch.empty(count, 256, 1, 1), 128, down, right)
    seen = torch.zeros(count, down, dtype=torch.int)
    for images, rows in blocks:
        seen[images, rows] += 1
        assert 36 * 4 * 256 * right * seen[images, rows].numel() <= winograd._BLOCK_BYTES
    assert (seen == 1).all()
    assert len(blocks) <= 2 + 3 * (36 * 4 * 256 * count * down * right / winograd._BLOCK_BYTES)


def test_memory_is_kept_for_one_call_at_a_time():
    quick, plain = layers(*LARGE, padding=1)
    images = torch.randn(8, 1, 128, 32, 40)
    with torch.inference_mode():
        quick(images[0])  # what it leaves is written by others
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: quick(x.clone().requires_grad_()).detach(), images))
    assert_close(found, [plain(x) for x in images])
    assert 1 <= len(winograd._unused) <= 5


def test_large_memory_is_not_kept(monkeypatch):
    monkeypatch.setattr(winograd, "_unused", [])
    monkeypatch.setattr(winograd, "_KEPT_BYTES", 36 * 4 * 128 * 64)
    quick, _ = layers(*LARGE, padding=1)
    quick(torch.randn(1, 128, 32, 32))
    (memory,) = winograd._unused
    assert set(memory) == {"tiles", "inputs"}  # filters and products are larger


def test_somebody_who_looks_on_leaves_nothing(monkeypatch):
    monkeypatch.setattr(winograd, "_unused", [])
    quick, plain = layers(*LARGE, padding=1)
    x = torch.randn(1, 128, 32, 32)
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert quick(x).shape == (1, 256, 32, 32)
    assert_close([quick(x)], [plain(x)])


@pytest.mark.parametrize(
    ("options", "shape"),
    (
        ({"stride": 2, "padding": 1}, (1, 128, 64, 64)),
        ({"dilation": 2, "padding": 2}, (1, 128, 32, 32)),
        ({"groups": 2, "padding": 1}, (1, 128, 32, 32)),
        ({"padding": 3}, (1, 128, 32, 32)),
        ({"padding": "same"}, (1, 128, 32, 32)),
        ({"padding": 1, "padding_mode": "reflect"}, (1, 128, 32, 32)),
        ({"padding": 1}, (128, 32, 32)),  # an image without a batch
        ({"padding": 1}, (1, 128, 28, 32)),  # 56 tiles
        ({"padding": 1}, (40, 128, 5, 5)),  # tiles are mostly empty
        ({"padding": 1}, (0, 128, 32, 32)),
    ),
)
def test_other_convolutions_are_direct(options, shape):
    quick, plain = layers(*LARGE, **options)
    x = torch.randn(shape)
    assert is_direct(quick, x)
    assert torch.equal(quick(x), plain(x))


@pytest.mark.parametrize("sizes", ((127, 300, 3), (128, 255, 3), (128, 256, 1), (128, 256, (3, 1))))
def test_small_filters_are_direct(sizes):
    quick, plain = layers(*sizes)
    x = torch.randn(1, sizes[0], 34, 34)
    assert is_direct(quick, x)
    assert torch.equal(quick(x), plain(x))


def test_other_numbers_and_layouts_are_direct():
    quick, _ = layers(*LARGE, padding=1)
    x = torch.randn(1, 128, 32, 32)
    assert is_direct(quick, x.contiguous(memory_format=torch.channels_last))
    assert is_direct(copy.deepcopy(quick).to(memory_format=torch.channels_last), x)
    assert is_direct(copy.deepcopy(quick).double(), x.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert is_direct(quick, x)


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_traced_and_exported_is_direct():
    quick, plain = layers(*LARGE, padding=1)
    x = torch.randn(1, 128, 32, 32)
    traced = torch.jit.trace(quick, x)
    exported = torch.export.export(quick, (x,))
    assert torch.equal(traced(x), plain(x)) and torch.equal(exported.module()(x), plain(x))
    assert "conv2d" in str(exported.graph)


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")  # torch's own use of it
@pytest.mark.parametrize("sizes", (LARGE, (64, 3, 3)))
def test_transformed_is_direct(sizes):
    quick, plain = layers(*sizes, padding=1)
    x = torch.randn(2, sizes[0], 32, 32)

    def changes(layer):
        def loss(one):
            return layer(one[None]).square().mean()

        apart = torch.func.vmap(torch.func.grad(loss))(x)
        with forward_ad.dual_level():
            forward = forward_ad.unpack_dual(layer(forward_ad.make_dual(x, x))).tangent
        return apart, forward

    for one, other in zip(changes(quick), changes(plain), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("sizes", (LARGE, (64, 3, 3)))
def test_gradients_of_many_outputs_together(sizes):
    quick, plain = layers(*sizes, padding=1)
    x = torch.randn(1, sizes[0], 32, 32, requires_grad=True)
    gradients = torch.randn(3, 1, sizes[1], 32, 32)
    found, wanted = (
        torch.autograd.grad(layer(x), (x, layer.weight), gradients, is_grads_batched=True)
        for layer in (quick, plain)
    )
    assert_close(found, wanted)


@pytest.mark.parametrize("sizes", (LARGE, (64, 3, 3)))
def test_gradients_keep_the_precision_of_the_output(sizes):
    quick, plain = layers(*sizes, padding=1)
    x = torch.randn(1, sizes[0], 32, 32, requires_grad=True)
    gradient = torch.randn_like(plain(x))
    result = quick(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = torch.autograd.grad(result, (x, *quick.parameters()), gradient)
    assert_close(found, exact(plain, x, gradient)[1:])


def test_too_many_channels_are_told():
    quick, _ = layers(*LARGE, padding=1)
    with pytest.raises(RuntimeError, match="expected input"):
        quick(torch.randn(1, 129, 32, 32))


@pytest.mark.parametrize(("sizes", "padding"), ((LARGE, 1), ((64, 3, 7), 0)))
def test_gradient_of_a_gradient(sizes, padding):
    quick, plain = layers(*sizes, padding=padding)
    x = torch.randn(1, sizes[0], 32, 32, requires_grad=True)

    def penalty(layer):
        (gradient,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), (x, *layer.parameters()))

    assert_close(penalty(quick), penalty(plain), 1e-4)


def test_only_gradients_that_are_asked_for(monkeypatch):
    quick, _ = layers(*LARGE, padding=1)
    x = torch.randn(1, 128, 32, 32, requires_grad=True)
    quick.requires_grad_(False)
    monkeypatch.setattr(winograd, "_weight_gradient", None)
    quick(x).sum().backward()
    assert x.grad is not None and quick.weight.grad is quick.bias.grad is None

    quick.bias.requires_grad_()
    quick(x.detach()).sum().backward()
    assert torch.all(quick.bias.grad == 32 * 32)


def test_changed_weights_are_seen():
    quick, plain = layers(*LARGE, padding=1)
    x = torch.randn(1, 128, 32, 32)
    quick(x)
    for layer in (quick, plain):
        layer.weight.data.mul_(2)
    assert_close([quick(x)], [plain(x)])


@pytest.mark.parametrize("value", (float("nan"), float("inf"), -float("inf")))
def test_what_is_no_number_stays_so(value):
    quick, plain = layers(*LARGE, padding=1)
    x = torch.randn(1, 128, 32, 32)
    x[0, 5, 17, 9] = value
    assert not torch.isfinite(quick(x))[~torch.isfinite(plain(x))].any()


def test_other_defaults_of_torch(monkeypatch):
    quick, plain = layers(*LARGE, padding=1)
    x = torch.randn(1, 128, 32, 32, requires_grad=True)
    gradient = torch.randn_like(plain(x))
    monkeypatch.setattr(winograd, "_unused", [])
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            found = computed(quick, x, gradient)
    finally:
        torch.set_default_dtype(torch.float32)
    assert_close(found, exact(plain, x, gradient))


def test_is_torch_s_convolution_to_all_others():
    quick, plain = layers(*LARGE, padding=1)
    assert repr(quick) == repr(plain)
    stored = io.BytesIO()
    torch.save(quick.state_dict(), stored)
    stored.seek(0)
    plain.load_state_dict(torch.load(stored, weights_only=True))
    x = torch.randn(1, 128, 32, 32)
    with torch.inference_mode():
        assert torch.equal(copy.deepcopy(quick)(x), quick(x))


@pytest.mark.parametrize("bias", (True, False))
@pytest.mark.parametrize(
    ("channels", "side", "padding"),
    ((3, 7, 0), (1, 3, 1), (4, 4, (3, 0)), (2, (3, 5), (0, 2)), (1, 2, 1)),
)
def test_gradients_of_few_outputs(monkeypatch, channels, side, padding, bias):
    quick, plain = layers(64, channels, side, padding=padding, bias=bias)
    x = torch.randn(2, 64, 20, 23, requires_grad=True)
    gradient = torch.randn_like(plain(x))
    called = []
    apply = convolution._FewOutputs.apply
    monkeypatch.setattr(convolution._FewOutputs, "apply", lambda *a: called.append(a) or apply(*a))
    found = computed(quick, x, gradient)
    assert called
    assert_close(found, exact(plain, x, gradient))
    assert torch.equal(found[0], plain(x)) and all(one.is_contiguous() for one in found)
    with torch.no_grad():
        assert torch.equal(quick(x), plain(x))
    assert len(called) == 1  # without gradients there is nothing to gain


@pytest.mark.parametrize(
    ("sizes", "options"),
    (
        ((64, 5, 7), {}),
        ((63, 3, 7), {}),
        ((64, 3, 1), {}),
        ((64, 3, (1, 7)), {}),
        ((64, 3, 7), {"padding": 7}),
        ((64, 3, 7), {"stride": 2}),
        ((64, 3, 7), {"dilation": 2}),
        ((64, 4, 7), {"groups": 2}),
        ((64, 3, 7), {"padding": "same"}),
        ((64, 3, 7), {"padding": 3, "padding_mode": "reflect"}),
    ),
)
def test_other_few_outputs_are_torch_s(monkeypatch, sizes, options):
    quick, plain = layers(*sizes, **options)
    x = torch.randn(2, sizes[0], 20, 23, requires_grad=True)
    gradient = torch.randn_like(plain(x))
    monkeypatch.setattr(convolution._FewOutputs, "apply", None)
    for one, other in zip(computed(quick, x, gradient), computed(plain, x, gradient), strict=True):
        assert torch.equal(one, other)
