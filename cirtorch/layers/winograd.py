"""3x3 convolutions with a third of the operations, for large layers in float32 on a CPU.

Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, CVPR 2016), forward and backward: tiles of
6x6 pixels and the filters are transformed, multiplied as 36 matrices, and transformed back to tiles
of 4x4. The points of interpolation are 0, 2/3, -2/3, 4/3 and -4/3 (and infinity), whose rounding is
the least of those tried: outputs and gradients differ from exact ones by 1e-6 to 3e-6 of the
greatest, where the usual points 0, 1, -1, 2 and -2 give some 1e-5 and the direct convolution 3e-7.
A pixel acts on all of a tile: beside one that is far greater than the others, or is not finite,
rounding is as large as of that one.
"""

import functools
import math
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

_POINTS = (0, 2 / 3, -2 / 3, 4 / 3, -4 / 3)
_OUT, _IN = 4, 6  # side of a tile that is written, and of the one that is read for it
# Below, transforms take longer than they save: channels, pairs of one in and one out, tiles.
_LEAST_CHANNELS, _LEAST_FILTERS, _LEAST_TILES = 128, 2**15, 64
_BLOCK_BYTES = 32 * 2**20  # of transformed tiles at a time
_KEPT_BYTES = 2 * _BLOCK_BYTES  # larger memory is made anew each time
_unused: list[dict] = []


class Transforms(NamedTuple):
    """What a tile, as a column of its pixels, is multiplied by; likewise a filter."""

    read: torch.Tensor  # [36, 36]
    filters: torch.Tensor  # [36, 9]
    written: torch.Tensor  # [16, 36]


def is_quicker(layer: nn.Conv2d, x: torch.Tensor) -> bool:
    """Whether :func:`convolve` saves time, for a layer of stride 1 without dilation and groups.

    It does for 3x3 filters with 128 channels or more in and out, 2**15 pairs of them or more, and
    64 tiles of 4x4 pixels or more in the batch.

    Args:
        x: ``[N, C, H, W]``.
    """
    return _has_large_filters(layer) and _has_many_tiles(x, layer.padding)


def convolve(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: tuple[int, int]
) -> torch.Tensor:
    """The convolution ``[N, C, H, W] -> [N, K, H', W']``, with gradients.

    Args:
        x: float32 on a CPU, contiguous; so are the others.
        weight: ``[K, C, 3, 3]``.
        bias: ``[K]``.
        padding: rows above and below, columns left and right, 2 at most.
    """
    return _Convolution.apply(x, weight, bias, padding)


def _has_large_filters(layer):
    less, more = sorted((layer.in_channels, layer.out_channels))
    large = less >= _LEAST_CHANNELS and less * more >= _LEAST_FILTERS
    return large and layer.kernel_size == (3, 3) and max(layer.padding) <= 2


def _has_many_tiles(x, padding):
    height, width = _size_after(x, padding)
    tiles = len(x) * _tiles(height) * _tiles(width)
    filled = len(x) * height * width / _OUT**2  # of tiles at the edges only a part is written
    return tiles >= _LEAST_TILES and tiles <= 1.3 * filled


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, padding):
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        with _memory() as memory:
            return _convolve(x, _filters(weight, memory), bias, padding, memory)

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        needed = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled() or torch._C._functorch.is_legacy_batchedtensor(gradient):
            # of this gradient another one will be asked for, or it is that of many outputs
            return *_differentiable(gradient, x, weight, ctx.padding, needed), None
        gradient = gradient.contiguous()
        of_input = of_weight = of_bias = None
        with _memory() as memory:
            if needed[0]:
                around = tuple(2 - side for side in ctx.padding)
                filters = _filters(weight, memory, turned=True).transpose(1, 2)
                of_input = _convolve(gradient, filters, None, around, memory)
            if needed[1]:
                of_weight = _weight_gradient(x, gradient, ctx.padding, memory)
        if needed[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_input, of_weight, of_bias, None


def _differentiable(gradient, x, weight, padding, needed):
    bias = [len(weight)] if needed[2] else None
    once = ([1, 1], padding, [1, 1], False, [0, 0], 1)
    return torch.ops.aten.convolution_backward(gradient, x, weight, bias, *once, needed)


def _convolve(x, filters, bias, padding, memory):
    """``[N, C, H, W] -> [N, K, H', W']`` with filters ``[36, K, C]``."""
    size, channels = _size_after(x, padding), filters.shape[1]
    down, right = map(_tiles, size)
    padded = _padded(x, padding, _OUT * down + 2, _OUT * right + 2)
    result = x.new_empty(len(x), channels, _OUT * down, _OUT * right)
    written = _transforms().written
    for block in _blocks(x, channels, down, right):
        inputs = _input_tiles(padded, block, memory)
        products = _part(memory, "products", _IN**2, channels, inputs.shape[2])
        torch.bmm(filters, inputs.transpose(0, 1), out=products)
        tiles = _part(memory, "tiles", _OUT**2, products[0].numel())
        torch.mm(written, products.view(_IN**2, -1), out=tiles)
        if bias is not None:
            tiles.view(_OUT**2, channels, -1).add_(bias.view(-1, 1))
        place = _output_tiles(result, block).permute(1, 2, 0, 3, 4, 5)
        place.copy_(tiles.view(place.shape))
    whole = list(result.shape[2:]) == size
    return result if whole else result[:, :, : size[0], : size[1]].contiguous()


def _weight_gradient(x, gradient, padding, memory):
    """Of ``[K, C, 3, 3]`` weights; ``gradient`` is that of the output."""
    channels, *size = gradient.shape[1:]
    down, right = map(_tiles, size)
    padded = _padded(x, padding, _OUT * down + 2, _OUT * right + 2)
    whole = _padded(gradient, (0, 0), _OUT * down, _OUT * right)
    back = _transforms().written.T.expand(channels, -1, -1)
    total = _part(memory, "filters", _IN**2, channels, x.shape[1])
    for number, block in enumerate(_blocks(x, channels, down, right)):
        inputs = _input_tiles(padded, block, memory).permute(1, 2, 0)
        given = _output_tiles(whole, block)
        tiles = _part(memory, "tiles", *given.shape).copy_(given).view(channels, _OUT**2, -1)
        products = _part(memory, "products", channels, _IN**2, tiles.shape[2])
        torch.bmm(back, tiles, out=products)
        add = int(number > 0)
        torch.baddbmm(total, products.transpose(0, 1), inputs, beta=add, out=total)
    weights = torch.mm(_transforms().filters.T, total.view(_IN**2, -1))
    return weights.T.reshape(channels, -1, 3, 3).contiguous()


def _input_tiles(padded, block, memory):
    """Transformed tiles ``[C, 36, tiles]``."""
    images, rows = block
    part = padded[images, :, _OUT * rows.start : _OUT * rows.stop + 2]
    tiles = part.unfold(2, _IN, _OUT).unfold(3, _IN, _OUT).permute(1, 4, 5, 0, 2, 3)
    pixels = _part(memory, "tiles", *tiles.shape).copy_(tiles).view(len(tiles), _IN**2, -1)
    transformed = _part(memory, "inputs", *pixels.shape)
    return torch.bmm(_transforms().read.expand(len(tiles), -1, -1), pixels, out=transformed)


def _output_tiles(result, block):
    """Tiles ``[K, 4, 4, images, rows, columns]`` where they lie in ``[N, K, H', W']``."""
    images, rows = block
    part = result[images, :, _OUT * rows.start : _OUT * rows.stop]
    return part.unflatten(3, (-1, _OUT)).unflatten(2, (-1, _OUT)).permute(1, 3, 5, 0, 2, 4)


def _filters(weight, memory, turned=False):
    """``[36, K, C]`` of ``[K, C, 3, 3]``, as they are or turned by 180 degrees."""
    transform = _transforms().filters
    transform = transform.flip(1) if turned else transform
    made = _part(memory, "filters", _IN**2, *weight.shape[:2])
    torch.mm(transform, weight.reshape(-1, 9).T, out=made.view(_IN**2, -1))
    return made


@contextmanager
def _memory():
    """Memory by name for one call at a time, kept: new memory costs as much as what is computed."""
    try:
        memory = _unused.pop()
    except IndexError:
        memory = {}
    try:
        yield memory
    finally:
        _unused.append(memory)


def _part(memory, name, *shape):
    count = math.prod(shape)
    if name in memory and len(memory[name]) >= count:
        return memory[name][:count].view(shape)
    with torch.inference_mode(False):
        made = torch.empty(count, dtype=torch.float32, device="cpu")
    # what somebody who looks on puts in the place of a tensor is not for others
    if type(made) is torch.Tensor and made.nbytes <= _KEPT_BYTES:
        memory[name] = made
    return made.view(shape)


def _size_after(x, padding):
    return [side + 2 * around - 2 for side, around in zip(x.shape[2:], padding, strict=True)]


def _tiles(side):
    return -(-side // _OUT)


def _padded(x, before, height, width):
    """With zeros before rows and columns as told, and behind them up to the size."""
    (top, left), (rows, columns) = before, x.shape[2:]
    around = (left, width - columns - left, top, height - rows - top)
    return nn.functional.pad(x, around) if any(around) else x


def _blocks(x, channels, down, right):
    """Slices of the images and of the rows of tiles: all images, or one row or more of some."""
    row = _IN**2 * x.element_size() * max(channels, x.shape[1]) * right
    count = max(1, min(len(x), _BLOCK_BYTES // row))
    step = max(1, _BLOCK_BYTES // (row * count))
    return [
        (slice(image, image + count), slice(start, min(down, start + step)))
        for image in range(0, len(x), count)
        for start in range(0, down, step)
    ]


def _powers(count):
    """Powers of the points, a row each; of infinity, the last, only the highest one counts."""
    infinity = [0] * (count - 1) + [1]
    return np.array([[point**power for power in range(count)] for point in _POINTS] + [infinity])


@functools.cache
def _transforms():
    output, filters = _powers(_OUT), _powers(3)
    tiles = np.linalg.inv(_powers(_IN)).T
    for row, point in enumerate(_POINTS):
        scale = np.prod([point - other for other in _POINTS if other != point])
        tiles[row] *= scale
        filters[row] /= scale
    both = (np.kron(one, one).astype(np.float32) for one in (tiles, filters, output.T))
    return Transforms(*map(torch.from_numpy, both))
