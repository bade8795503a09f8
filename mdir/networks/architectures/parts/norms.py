"""Normalization by name, and which convolutions have a bias because of it."""

import functools
from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

from mdir.errors import UserError

NormName = Literal["batch", "instance", "none"]
_MIXING = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


class NoNorm(nn.Identity):
    """Keeps the place of a normalization in a sequence: state_dict keys count layers."""

    def __init__(self, _channels: int):
        super().__init__()


def exact_gradients(model: nn.Module) -> None:
    """Keep torch's instance normalization from a wrong gradient on a CPU.

    There (seen in 2.15) the gradient of a batch of one image is wrong where it arrives channels
    last, such as from patches picked in a feature map. Layers that are told twice stay as they are.
    """
    for module in model.modules():
        if isinstance(module, nn.InstanceNorm2d) and not _is_exact(module):
            module.register_forward_hook(_with_contiguous_gradient)


def mixes_images(model: nn.Module) -> bool:
    """Whether what an image of a batch gives depends on the others, or on a random draw."""
    return any(isinstance(m, _MIXING) and m.training for m in model.modules())


def learns_images_apart(model: nn.Module) -> bool:
    """Whether images give the same in one batch as in several, and so do their gradients."""
    norms = (m for m in model.modules() if isinstance(m, nn.InstanceNorm2d))
    return not mixes_images(model) and all(map(_is_exact, norms))


def _is_exact(module):
    return _with_contiguous_gradient in module._forward_hooks.values()


def _with_contiguous_gradient(_module, _inputs, result):
    # Compiled code computes the gradient by itself, and rightly.
    if result.requires_grad and not torch.compiler.is_compiling():
        result.register_hook(_contiguous)


def _contiguous(gradient):
    return gradient.contiguous()


def choose_norm(
    norm_layer: str | Callable, track_running_stats: bool = True
) -> tuple[Callable, bool]:
    """The layer's constructor (called with a channel count) and whether convolutions have a bias.

    Only before instance normalization do they: it has no shift of its own. With ``"none"`` there
    is neither shift nor bias; published checkpoints have these shapes.

    Raises:
        UserError: for an unknown name.
    """
    if callable(norm_layer):
        inner = norm_layer.func if isinstance(norm_layer, functools.partial) else norm_layer
        return norm_layer, inner is nn.InstanceNorm2d
    if norm_layer == "batch":
        norm = functools.partial(nn.BatchNorm2d, track_running_stats=track_running_stats)
        return norm, False
    if norm_layer == "instance":
        return nn.InstanceNorm2d, True
    if norm_layer == "none":
        return NoNorm, False
    raise UserError(f"unknown norm_layer {norm_layer!r}. Allowed: batch, instance, none")
