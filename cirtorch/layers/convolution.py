"""Torch's two-dimensional convolution, sooner on a CPU where torch's own way is a long one."""

import torch
from torch import nn
from torch.autograd import forward_ad

from cirtorch.layers import winograd

_MOST_OUTPUTS, _LEAST_INPUTS = 4, 64


class Conv2d(nn.Conv2d):
    """``nn.Conv2d`` that takes less time in float32 on a CPU; numbers are equal up to rounding.

    Large 3x3 convolutions take fewer operations (:mod:`cirtorch.layers.winograd`), and where many
    channels become a few, such as at the end of a generator, gradients are computed as those of a
    convolution of few channels to many. All else is as in its base, and so is what is compiled,
    exported, traced or transformed (``torch.func``), and what lies in memory channels last.
    """

    def _conv_forward(self, input, weight, bias):
        if _slides(self) and _is_plain(input, weight) and input.shape[1:2] == weight.shape[1:2]:
            if winograd.is_quicker(self, input):
                return winograd.convolve(input, weight, bias, self.padding)
            if _has_few_outputs(self) and torch.is_grad_enabled():
                return _FewOutputs.apply(input, weight, bias, self.padding)
        return super()._conv_forward(input, weight, bias)


def _slides(layer):
    """Whether every filter passes over every pixel of all channels, with zeros around."""
    shape = (layer.stride, layer.dilation, layer.groups, layer.padding_mode)
    return shape == ((1, 1), (1, 1), 1, "zeros") and not isinstance(layer.padding, str)


def _is_plain(x, weight):
    """Whether both are just tensors ``[., ., ., .]`` of float32 on a CPU, for whom no one asks."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.is_autocast_enabled("cpu"):
        return False
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return False
    known = type(x) is torch.Tensor and type(weight) in (torch.Tensor, nn.Parameter)
    return known and x.dim() == 4 and all(map(_lies_plainly, (x, weight)))


def _lies_plainly(tensor):
    usual = tensor.dtype == torch.float32 and tensor.device.type == "cpu"
    return usual and tensor.is_contiguous()


def _has_few_outputs(layer):
    few = layer.out_channels <= _MOST_OUTPUTS and layer.in_channels >= _LEAST_INPUTS
    sides = zip(layer.padding, layer.kernel_size, strict=True)
    return few and all(around < side > 1 for around, side in sides)


class _FewOutputs(torch.autograd.Function):
    """Gradients by the convolution the other way, which torch computes several times as fast.

    That of the input is the output's gradient under turned filters. That of the filters is that of
    the turned ones, for which input and output have changed their parts.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, padding):
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        return nn.functional.conv2d(x, weight, bias, padding=padding)

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        needed = ctx.needs_input_grad[:3]
        gradient = gradient.contiguous()
        sides = zip(ctx.padding, weight.shape[2:], strict=True)
        around = [side - 1 - padding for padding, side in sides]
        turned = weight.transpose(0, 1).flip(2, 3)
        of_input = of_weight = of_bias = None
        if needed[0]:
            of_input = nn.functional.conv2d(gradient, turned, padding=around)
        if needed[1]:
            of_turned = nn.grad.conv2d_weight(gradient, turned.shape, x, padding=around)
            of_weight = of_turned.flip(2, 3).transpose(0, 1).contiguous()
        if needed[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_input, of_weight, of_bias, None
