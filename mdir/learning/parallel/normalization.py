"""Normalisation of a batch that is divided among processes, as that of the whole batch.

Batch normalisation takes the statistics of the whole, as torch's SyncBatchNorm (which only GPUs
have), for parts of any size; a layer of ``groups`` takes those of the whole. Instance normalisation
needs none. The layers stay what they are, and so do checkpoints.
"""

import types
from contextlib import contextmanager

import torch
from torch import nn

from mdir import distributed
from mdir.errors import UserError
from mdir.networks.architectures.parts.domain_norm import require_several

_here = None


@contextmanager
def divided(part):
    """Layers that divide know which part of a batch they see in the block.

    With None they work by themselves, as they do everywhere else.
    """
    global _here
    _here = part
    try:
        yield
    finally:
        _here = None


def part_here():
    """The part that :func:`divided` tells of, or None."""
    return _here


def sync_statistics(model: nn.Module) -> None:
    """Let the normalisations of a model treat a part of a batch as they would the whole."""
    # torch's compiler is a second in importing
    of_batch = torch.compiler.disable(_forward)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.forward = types.MethodType(of_batch, module)  # type: ignore[method-assign]


def _forward(module, images):
    here = _here
    if here is None or not (module.training or module.running_mean is None):
        return type(module).forward(module, images)
    own = float(here.own > 0)
    axes = [axis for axis in range(images.dim()) if axis != 1]
    values = images.to(torch.promote_types(images.dtype, torch.float32))
    groups = getattr(module, "groups", 1)
    if module.training:
        for_each = len(values) // max(here.own, 1) * values[0, 0].numel()
        require_several(here.whole * for_each, groups)
    parts = values.split(_group_sizes(groups, here, len(values)))
    counts = [part.new_full((1,), part.numel() / part.shape[1]) for part in parts]
    sums = [torch.cat([part.sum(axes), count]) for part, count in zip(parts, counts, strict=True)]
    sums = _Sum.apply(own * torch.stack(sums))
    means, counts = sums[:, :-1] / sums[:, -1:], sums[:, -1:]
    centered = [part - _along_channels(mean, part) for part, mean in zip(parts, means, strict=True)]
    squares = torch.stack([part.square().sum(axes) for part in centered])
    variances = _Sum.apply(own * squares) / counts
    if module.training and module.running_mean is not None:
        unbiased = variances[0].detach() * counts[0] / (counts[0] - 1)
        _update(module, means[0].detach(), unbiased)
    scales = (variances + module.eps).rsqrt()
    result = torch.cat(
        [part * _along_channels(scale, part) for part, scale in zip(centered, scales, strict=True)]
    )
    if module.affine:
        result = result * _along_channels(module.weight, values)
        result = result + _along_channels(module.bias, values)
    return result.to(images.dtype)


def _group_sizes(groups, here, rows):
    """How many of the rows that are here are of each group of the whole batch."""
    if groups == 1 or not here.own:
        return [rows] + [0] * (groups - 1)
    if here.whole % groups or rows != here.own:
        raise UserError(
            f"bn_groups: {here.whole} items with {rows // here.own} rows here for each cannot be "
            f"divided into {groups} equal groups; change batch_size, and set drop_last: true"
        )
    owners = distributed.own_part([place * groups // here.whole for place in range(here.whole)])
    return [owners.count(group) for group in range(groups)]


class _Sum(torch.autograd.Function):
    """The sum over all processes; what comes back is summed likewise."""

    @staticmethod
    def forward(ctx, value):
        return distributed.sum_all([value])[0]

    @staticmethod
    def backward(ctx, gradient):
        return distributed.sum_all([gradient])[0]


def _along_channels(values, images):
    return values.view(1, -1, *[1] * (images.dim() - 2))


@torch.no_grad()
def _update(module, mean, variance):
    module.num_batches_tracked += 1
    momentum = module.momentum
    if momentum is None:
        momentum = 1 / float(module.num_batches_tracked)
    module.running_mean.lerp_(mean, momentum)
    module.running_var.lerp_(variance, momentum)
