"""Convolutions that normalize and rectify what they write, for descriptors on a CPU.

The features of a network once more, for inference alone: batch normalization is folded into the
convolution before it, which is rectified (and the sum of a residual block made) in place, and the
memory layout is channels last. Numbers equal those of the features up to rounding (some 1e-6 of the
greatest); what is not a number stays so.
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
        None where that would not do: not on a CPU, not float32, another precision was asked for,
        someone hooked or changed a layer, layers are of neither torch nor torchvision (they may
        take parts of a sequence, or mind the memory layout), torch has no oneDNN, or there is
        nothing to fuse.
    """
    quick = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
    if not quick or torch.is_autocast_enabled("cpu") or not _is_plain(features):
        return None
    made = _fused(features)
    return _ChannelsLast(made) if any(isinstance(m, _Convolution) for m in made.modules()) else None


@contextmanager
def computed_by(pairs):
    """In the block, features are computed by others: ``pairs`` of features and what they call.

    They compute by themselves what that is not for: with gradients (another thread's training), in
    training, in another precision, and what is no batch ``[B, C, H, W]``.
    """
    try:
        for module, other in pairs:
            module.forward = _Instead(module, other)
        yield
    finally:
        for module, _ in pairs:
            vars(module).pop("forward", None)


def fused_pairs(networks) -> list:
    """For :func:`computed_by`: features of networks that can be fused, and the fused ones."""
    found = [_own(net).get("features") for net in networks if not _is_compiled(net)]
    pairs = [(one, fused(one)) for one in found if isinstance(one, nn.Sequential)]
    return [(features, faster) for features, faster in pairs if faster is not None]


class _Instead:
    """The ``forward`` of features that others compute; of a copy of them it is their own."""

    def __init__(self, module, other):
        self.module, self.other = module, other

    def __call__(self, input):
        plain = not (torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"))
        plain = plain and not self.module.training and type(input) is torch.Tensor
        if plain and input.dim() == 4 and input.dtype == torch.float32:
            return self.other(input)
        return type(self.module).forward(self.module, input)

    def __reduce__(self):
        return getattr, (self.module, "forward")  # of a copy that has no attributes yet


def _own(network):
    """The modules of a network, without those that it passes on from one inside (compiled ones)."""
    return getattr(network, "_modules", {})


def _is_plain(features):
    tensors = [*features.parameters(), *(b for b in features.buffers() if b.is_floating_point())]
    here = all(one.device.type == "cpu" and one.dtype == torch.float32 for one in tensors)
    hooked = nn.modules.module._has_any_global_hook()
    return here and not hooked and all(map(_is_known, features.modules()))


def _is_known(module):
    """Whether a module surely does what its class does, and that is known."""
    hooked = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    known = type(module).__module__.startswith(("torch.nn.", "torchvision."))
    return known and not (hooked or module.training or _is_compiled(module))


def _is_compiled(module):
    return getattr(module, "_compiled_call_impl", None) is not None


def _fused(module):
    """The module, or a copy in which layers that follow each other are one."""
    if not module._modules:
        return module
    if (residual := _residual(module)) is not None:
        return residual
    if type(module).forward is nn.Sequential.forward:
        return nn.Sequential(*_joined(list(module)))
    inside = module._modules
    made = {name: child if child is None else _fused(child) for name, child in inside.items()}
    if made == inside:
        return module
    other = copy.copy(module)
    other._modules = made
    return other


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
    plain = type(layer) is nn.Conv2d
    return plain and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _folds(layer):
    return type(layer) is nn.BatchNorm2d and layer.running_mean is not None


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
        sizes = (convolution.stride, convolution.padding, convolution.dilation)
        self.shape = (*sizes, convolution.groups)
        self.rectified = rectified

    def forward(self, x):
        result = nn.functional.conv2d(x, self.weight, self.bias, *self.shape)
        # not oneDNN's own rectification, which is no faster and takes NaN for 0
        return result.relu_() if self.rectified else result


class _Residual(nn.Module):
    """A block of a ResNet: convolutions, and the input that is added to the last one's output."""

    def __init__(self, convolutions, shortcut):
        super().__init__()
        *first, self.last = convolutions
        self.first = nn.Sequential(*first)
        self.shortcut = shortcut

    def forward(self, x):
        result = self.last(self.first(x))
        return result.add_(x if self.shortcut is None else self.shortcut(x)).relu_()


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
    """Layers that work in the memory layout of channels last; a tensor they give lies as usual."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        result = self.layers(x.contiguous(memory_format=torch.channels_last))
        return result.contiguous() if isinstance(result, torch.Tensor) else result
