"""Convolutions that normalize and rectify what they write, for descriptors on a CPU.

The features of a network once more, for inference alone: batch normalization is folded into the
convolution before it, the rectification (and the sum of a residual block) computed where the
convolution writes, and the memory layout is channels last. oneDNN does that; numbers equal those of
the features up to rounding (some 1e-6 of the greatest).
"""

import copy
import sys
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def fused(features: nn.Module) -> nn.Module | None:
    """The features of a network for descriptors once more, faster; they share what is not fused.

    It has the weights of now and is of use without gradients, in eval mode and in float32.

    Args:
        features: ``[B, C, H, W] -> [B, D, h, w]``.

    Returns:
        None where that would not do: not on a CPU, not float32, another layout or precision was
        asked for, someone hooked a layer, torch has no oneDNN, or there is nothing to fuse.
    """
    if not _has_operations() or torch.is_autocast_enabled("cpu") or not _is_plain(features):
        return None
    made = _fused(features)
    return _ChannelsLast(made) if any(isinstance(m, _Convolution) for m in made.modules()) else None


@contextmanager
def computed_by(pairs):
    """In the block, layers are computed by others: ``pairs`` of a module and what it calls."""
    try:
        for module, other in pairs:
            module.forward = other.__call__
        yield
    finally:
        for module, _ in pairs:
            vars(module).pop("forward", None)


def fused_pairs(networks) -> list:
    """For :func:`computed_by`: features of networks that can be fused, and the fused ones."""
    found = [getattr(net, "features", None) for net in networks if not _is_compiled(net)]
    pairs = [(one, fused(one)) for one in found if isinstance(one, nn.Sequential)]
    return [(features, faster) for features, faster in pairs if faster is not None]


def _has_operations():
    enabled = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
    return enabled and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def _is_plain(features):
    tensors = [*features.parameters(), *(b for b in features.buffers() if b.is_floating_point())]
    here = all(one.device.type == "cpu" and one.dtype == torch.float32 for one in tensors)
    return here and not any(
        each.training or each._forward_hooks or each._forward_pre_hooks or _is_compiled(each)
        for each in features.modules()
    )


def _is_compiled(module):
    return getattr(module, "_compiled_call_impl", None) is not None


def _fused(module):
    """The module, or a copy in which layers that follow each other are one."""
    if "forward" in vars(module) or not module._modules:
        return module
    if (residual := _residual(module)) is not None:
        return residual
    if type(module).forward is nn.Sequential.forward:
        return nn.Sequential(*_joined(list(module)))
    made = {name: child if child is None else _fused(child) for name, child in _named(module)}
    if all(made[name] is child for name, child in _named(module)):
        return module
    other = copy.copy(module)
    other._modules = made
    return other


def _named(module):
    return module._modules.items()


def _joined(layers):
    """Layers one after the other, a convolution with its normalization and rectification in one."""
    joined, rest = [], list(layers)
    while rest:
        layer = rest.pop(0)
        if not _is_convolution(layer):
            joined.append(_fused(layer))
            continue
        norm = rest.pop(0) if rest and _folds(rest[0]) else None
        rectified = bool(rest) and type(rest[0]) is nn.ReLU
        if rectified:
            rest.pop(0)
        joined.append(_Convolution(layer, norm, rectified))
    return joined


def _is_convolution(layer):
    plain = type(layer) is nn.Conv2d and "forward" not in vars(layer)
    return plain and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _folds(layer):
    plain = type(layer) is nn.BatchNorm2d and "forward" not in vars(layer)
    return plain and layer.running_mean is not None


class _Convolution(nn.Module):
    """A convolution, a batch normalization and a rectification in one."""

    def __init__(self, convolution, norm, rectified):
        super().__init__()
        weight, bias = convolution.weight, convolution.bias
        if norm is not None:
            weight, bias = fuse_conv_bn_weights(
                weight, bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
        weight = weight.detach().contiguous(memory_format=torch.channels_last)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", None if bias is None else bias.detach())
        sizes = (convolution.padding, convolution.stride, convolution.dilation)
        self.shape = (*map(list, sizes), convolution.groups)
        self.rectified = "relu" if rectified else "none"

    def forward(self, x):
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, *self.shape, self.rectified, [], ""
        )

    def added(self, x, other):
        """``relu(convolution(x) + other)``."""
        return torch.ops.mkldnn._convolution_pointwise.binary(
            x, other, self.weight, self.bias, *self.shape, "add", 1.0, "relu", [], ""
        )


class _Residual(nn.Module):
    """A block of a ResNet: convolutions, and the input that is added to the last one's output."""

    def __init__(self, convolutions, shortcut):
        super().__init__()
        *first, self.last = convolutions
        self.first = nn.Sequential(*first)
        self.shortcut = shortcut

    def forward(self, x):
        added = x if self.shortcut is None else self.shortcut(x)
        return self.last.added(self.first(x), added)


def _residual(block):
    """The fused form of a block of torchvision's ResNets (ResNeXt has the same), or None."""
    resnet = sys.modules.get("torchvision.models.resnet")  # its import takes as long as torch's
    if resnet is None:
        return None
    count = {resnet.BasicBlock: 2, resnet.Bottleneck: 3}.get(type(block))
    if count is None:
        return None
    layers = [(getattr(block, f"conv{i}"), getattr(block, f"bn{i}")) for i in range(1, count + 1)]
    plain = all(_is_convolution(one) and _folds(norm) for one, norm in layers)
    if not plain or type(block.relu) is not nn.ReLU:
        return None
    convolutions = [
        _Convolution(one, norm, number < count) for number, (one, norm) in enumerate(layers, 1)
    ]
    shortcut = None if block.downsample is None else _fused(block.downsample)
    return _Residual(convolutions, shortcut)


class _ChannelsLast(nn.Module):
    """Layers that work in the memory layout of channels last; the result lies as usual."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        return self.layers(x.contiguous(memory_format=torch.channels_last)).contiguous()
