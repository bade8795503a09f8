"""Dropout of a batch that is divided among processes, with the draws of the whole batch."""

import types

import torch
from torch import nn

from mdir.learning.parallel.normalization import part_here


def sync_dropout(model: nn.Module) -> None:
    """Let the dropout of a model draw for the whole batch, and take what is for the part here.

    All processes have drawn equally many random numbers then, and none of them the same as others.
    """
    of_batch = torch.compiler.disable(_forward)
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.forward = types.MethodType(of_batch, module)


def _forward(module, rows):
    part = part_here()
    if part is None or not module.training:
        return type(module).forward(module, rows)
    items = rows.unflatten(0, (part.own or 1, -1))
    places = part.cut(torch.arange(part.whole, device=rows.device))
    whole = items.new_zeros((part.whole, *items.shape[1:])).index_copy(0, places, items)
    return part.cut(type(module).forward(module, whole.flatten(0, 1)))
