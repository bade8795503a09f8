"""Poolings and normalizations against loops over locations and regions."""

import math

import pytest
import torch
from torch import nn

import cirtorch.layers.functional as LF
from cirtorch.layers.normalization import L2N, PowerLaw
from cirtorch.layers.pooling import MAC, RMAC, GeM, GeMmp, GeometricMedianWeiszfeld, Rpool, SPoC
from cirtorch.layers.regions import region_grid

SHAPES = [(2, 3, 7, 11), (1, 4, 8, 8), (2, 3, 12, 5), (1, 2, 1, 9), (1, 2, 2, 1)]
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
shapes = pytest.mark.parametrize("shape", SHAPES)


def naive_regions(height, width, levels=3):
    """The published construction, region by region."""
    w = min(width, height)
    idx = torch.argmin(
        torch.abs(
            ((w**2 - w * (max(height, width) - w) / (torch.Tensor([2, 3, 4, 5, 6, 7]) - 1)) / w**2)
            - 0.4
        )
    ).item()
    more_columns, more_rows = (idx + 1 if height < width else 0), (idx + 1 if height > width else 0)
    regions = [(0, 0, height, width)]
    for level in range(1, levels + 1):
        side = math.floor(2 * w / (level + 1))
        half = math.floor(side / 2 - 1)
        if side == 0:
            continue
        b = 0 if level + more_columns == 1 else (width - side) / (level + more_columns - 1)
        lefts = torch.floor(half + torch.Tensor(range(level + more_columns)) * b).int() - half
        b = 0 if level + more_rows == 1 else (height - side) / (level + more_rows - 1)
        tops = torch.floor(half + torch.Tensor(range(level + more_rows)) * b).int() - half
        regions += [(i, j, side, side) for i in tops.tolist() for j in lefts.tolist()]
    return regions


def naive_region_vectors(x, pool):
    regions = naive_regions(*x.shape[-2:])
    pooled = [pool(x[:, :, i : i + h, j : j + w]) for i, j, h, w in regions]
    return torch.stack([v / (v.norm(dim=1, keepdim=True) + 1e-6) for v in pooled], dim=1)


def naive_gem(x, p):
    result = torch.zeros(*x.shape[:2], 1, 1, dtype=x.dtype)
    for b in range(x.shape[0]):
        for c in range(x.shape[1]):
            values = [max(float(v), 1e-6) ** float(p[c]) for v in x[b, c].flatten()]
            result[b, c] = (sum(values) / len(values)) ** (1 / float(p[c]))
    return result


def make(shape, dtype):
    torch.manual_seed(0)
    return torch.randn(shape, dtype=dtype)


@pytest.mark.parametrize("height", range(1, 20))
def test_region_grid(height):
    for width in range(1, 20):
        listed = [
            (top, left, side, side)
            for side, tops, lefts in region_grid(height, width)
            for top in tops
            for left in lefts
        ]
        assert listed == naive_regions(height, width)[1:]


@dtypes
@shapes
def test_global_poolings(shape, dtype):
    x = make(shape, dtype)
    channels = shape[1]
    exponents = torch.linspace(2, 4, channels)
    mp = GeMmp(mp=channels).to(dtype)
    mp.p.data.copy_(exponents)
    torch.testing.assert_close(MAC()(x), x.flatten(2).max(dim=2).values[:, :, None, None])
    torch.testing.assert_close(SPoC()(x), x.flatten(2).sum(2)[:, :, None, None] / x[0, 0].numel())
    torch.testing.assert_close(GeM(p=2.5).to(dtype)(x), naive_gem(x, [2.5] * channels))
    torch.testing.assert_close(mp(x), naive_gem(x, exponents.tolist()))
    assert MAC()(x).dtype == dtype


@dtypes
@shapes
def test_regional_poolings(shape, dtype):
    x = make(shape, dtype)
    torch.testing.assert_close(RMAC()(x), naive_region_vectors(x, MAC()).sum(dim=1))
    regional, vectors = Rpool(SPoC()), naive_region_vectors(x, SPoC())
    torch.testing.assert_close(regional(x, aggregate=False), vectors)
    total = vectors.sum(dim=1)
    torch.testing.assert_close(regional(x), total / (total.norm(dim=1, keepdim=True) + 1e-6))


@dtypes
def test_regional_whitening(dtype):
    x, whiten = make((2, 3, 6, 8), dtype), nn.Linear(3, 3).to(dtype)
    vectors = naive_region_vectors(x, MAC())
    expected = torch.stack([whiten(v.flatten(1)) for v in vectors.unbind(1)], dim=1)
    expected = (expected / (expected.norm(dim=2, keepdim=True) + 1e-6))[..., None, None]
    torch.testing.assert_close(Rpool(MAC(), whiten)(x, aggregate=False), expected)


@dtypes
def test_normalizations(dtype):
    x = make((2, 5, 3, 3), dtype)
    x[0] = 0
    expected = torch.zeros_like(x)
    for i in range(3):
        for j in range(3):
            expected[1, :, i, j] = x[1, :, i, j] / (math.sqrt((x[1, :, i, j] ** 2).sum()) + 1e-6)
    torch.testing.assert_close(L2N()(x), expected)
    shifted = x + 1e-6
    torch.testing.assert_close(PowerLaw()(x), torch.sign(shifted) * shifted.abs() ** 0.5)


@dtypes
@pytest.mark.parametrize("intermediate", [True, False])
def test_geometric_median_of_a_batch_is_that_of_each_image(dtype, intermediate):
    x = make((3, 4, 5, 6), dtype)
    pooled = GeometricMedianWeiszfeld(3, intermediate)(x)
    for image, found in zip(x, pooled, strict=True):
        points = image.flatten(1).t()
        weights = torch.ones(len(points), dtype=dtype)
        for _ in range(3):
            center = sum(w * p for w, p in zip(weights, points, strict=True)) / weights.sum()
            weights = torch.stack([((p - center) ** 2).sum() + 1e-10 for p in points]) ** -0.5
        expected = sum(w * p for w, p in zip(weights, points, strict=True)) / weights.sum()
        torch.testing.assert_close(found.flatten(), expected)


def test_gradients():
    x = make((1, 2, 4, 3), torch.float64).requires_grad_()
    p = torch.tensor([2.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(LF.gem, (x, p))
    assert torch.autograd.gradcheck(LF.rmac, (x,))
    assert torch.autograd.gradcheck(LF.geometric_median, (x,))


def test_attention_is_per_image():
    x = make((2, 3, 4, 4), torch.float32)
    attention = LF.l2_attention(x, normalize_max=True)
    assert attention.shape == (2, 1, 4, 4)
    torch.testing.assert_close(attention.amax(dim=(1, 2, 3)), torch.ones(2))


def test_layers_say_what_they_are():
    assert repr(GeM()) == "GeM(p=3.0000, eps=1e-06)"
    assert repr(GeMmp(mp=8)) == "GeMmp(p=[8], eps=1e-06)"
    assert [repr(layer) for layer in (MAC(), SPoC(), RMAC())] == ["MAC()", "SPoC()", "RMAC(L=3)"]
    assert repr(L2N()) == "L2N(eps=1e-06)" and repr(PowerLaw()) == "PowerLaw(eps=1e-06)"
    assert repr(Rpool(MAC())).endswith("(L=3)")
