"""Normalization by name, and which convolutions have a bias because of it."""

import functools
from collections.abc import Callable
from typing import Literal

from torch import nn

from mdir.errors import UserError

NormName = Literal["batch", "instance", "none"]


class NoNorm(nn.Identity):
    """Keeps the place of a normalization in a sequence: state_dict keys count layers."""

    def __init__(self, _channels: int):
        super().__init__()


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
