"""BN-Inception (Ioffe & Szegedy, ICML 2015), with the keys of its published ImageNet weights."""

import torch
import torch.nn.functional as F
from torch import nn

# Widths of the branches 1x1, 3x3, double 3x3 and of the projection behind the pooling; a block
# without the first and the last halves the resolution.
_BLOCKS = {
    "3a": (64, (64, 64), (64, 96, 96), "avg", 32),
    "3b": (64, (64, 96), (64, 96, 96), "avg", 64),
    "3c": (0, (128, 160), (64, 96, 96), "max", 0),
    "4a": (224, (64, 96), (96, 128, 128), "avg", 128),
    "4b": (192, (96, 128), (96, 128, 128), "avg", 128),
    "4c": (160, (128, 160), (128, 160, 160), "avg", 128),
    "4d": (96, (128, 192), (160, 192, 192), "avg", 128),
    "4e": (0, (128, 192), (192, 256, 256), "max", 0),
    "5a": (352, (192, 320), (160, 224, 224), "avg", 128),
    "5b": (352, (192, 320), (192, 224, 224), "max", 128),
}


class BNInception(nn.Module):
    """Images ``[B, 3, H, W]``, BGR in 0..255 less their mean -> logits ``[B, 1000]``.

    ``global_pool`` maps ``[B, 1024, h, w]`` to ``[B, 1024, 1, 1]``, ``last_linear`` follows.
    Weights are drawn by He et al. (ICCV 2015).
    """

    def __init__(self):
        super().__init__()
        self._add("conv1_7x7_s2", 3, 64, 7, 2)
        self._add("conv2_3x3_reduce", 64, 64)
        self._add("conv2_3x3", 64, 192, 3)
        width = 192
        for block, (single, triple, double, _, projected) in _BLOCKS.items():
            width = self._add_block(f"inception_{block}_", width, single, triple, double, projected)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.last_linear = nn.Linear(width, 1000)

    def _add_block(self, name, width, single, triple, double, projected):
        """Register the convolutions of a block; returns how many channels come out of it."""
        stride = 1 if single else 2
        if single:
            self._add(f"{name}1x1", width, single)
        self._add(f"{name}3x3_reduce", width, triple[0])
        self._add(f"{name}3x3", *triple, 3, stride)
        self._add(f"{name}double_3x3_reduce", width, double[0])
        self._add(f"{name}double_3x3_1", *double[:2], 3)
        self._add(f"{name}double_3x3_2", *double[1:], 3, stride)
        if projected:
            self._add(f"{name}pool_proj", width, projected)
        return single + triple[-1] + double[-1] + (projected or width)

    def _add(self, name, inputs, outputs, size=1, stride=1):
        convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        nn.init.zeros_(convolution.bias)
        self.add_module(name, convolution)
        self.add_module(f"{name}_bn", nn.BatchNorm2d(outputs))

    def forward(self, images):
        x = _halve(self._layers(images, "conv1_7x7_s2"))
        x = _halve(self._layers(x, "conv2_3x3_reduce", "conv2_3x3"))
        for block in _BLOCKS:
            x = self._block(x, block)
        return self.last_linear(self.global_pool(x).flatten(1))

    def _block(self, x, block):
        single, _, _, pooling, projected = _BLOCKS[block]
        name = f"inception_{block}_"
        branches = [
            self._layers(x, f"{name}3x3_reduce", f"{name}3x3"),
            self._layers(x, *(f"{name}double_3x3_{part}" for part in ("reduce", "1", "2"))),
        ]
        if single:
            branches.insert(0, self._layers(x, f"{name}1x1"))
        if pooling == "avg":
            pooled = F.avg_pool2d(x, 3, 1, 1)
        elif projected:
            pooled = F.max_pool2d(x, 3, 1, 1)
        else:  # ceil mode where a side is even; the other branches' size where it is odd
            pooled = F.max_pool2d(F.pad(x, (0, 2, 0, 2)), 3, 2)
        branches.append(self._layers(pooled, f"{name}pool_proj") if projected else pooled)
        return torch.cat(branches, dim=1)

    def _layers(self, x, *names):
        for name in names:
            x = F.relu(getattr(self, f"{name}_bn")(getattr(self, name)(x)), inplace=True)
        return x


def _halve(x):
    return F.max_pool2d(x, 3, 2, ceil_mode=True)
