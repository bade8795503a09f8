"""What the memories of descriptors have in common: one row for each image or cluster."""

import torch
from torch import nn


class LateBuffers(nn.Module):
    """Base of losses whose buffers are None until sizes are known, or a stored state tells them.

    They are then made where the module is.
    """

    def __init__(self):
        super().__init__()
        self.register_buffer("_place", torch.empty(0), persistent=False)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        for name, buffer in self._buffers.items():
            stored = state_dict.get(prefix + name)
            if buffer is None and stored is not None:
                setattr(self, name, torch.empty_like(stored, device=self._place.device))
        super()._load_from_state_dict(state_dict, prefix, *args)


def similarities(rows: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """Dot products ``[B, L]`` of rows ``[B, D]`` and a memory ``[L, D]``, in its precision.

    Neither they nor their gradient are computed in less under autocast. The memory gets none.
    """
    return _Product.apply(rows.to(memory.dtype), memory)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows, memory):
        ctx.save_for_backward(memory)
        return product(rows, memory.T)

    @staticmethod
    def backward(ctx, gradient):
        (memory,) = ctx.saved_tensors
        return product(gradient, memory), None


def product(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """A matrix product in the precision of its arguments, autocast or not."""
    with torch.autocast(first.device.type, enabled=False):
        return first @ second


@torch.no_grad()
def refresh(memory: torch.Tensor, places: torch.Tensor, rows: torch.Tensor, momentum: float):
    """Move rows of a memory towards new ones, in place, one after the other in the given order.

    ``m <- momentum m + (1 - momentum) row``, divided by its norm, at each of ``places`` ``[B]``
    (long). All places at once; those that occur again follow in further rounds.
    """
    rows = rows.to(memory)
    turns = occurrences(places)
    for turn in range(int(turns.max()) + 1 if len(turns) else 0):
        now = (turns == turn).nonzero()[:, 0]
        where, new = places[now].to(memory.device), rows[now.to(memory.device)]
        moved = momentum * memory[where] + (1 - momentum) * new
        memory[where] = moved / torch.linalg.vector_norm(moved, dim=1, keepdim=True)


def occurrences(values: torch.Tensor) -> torch.Tensor:
    """For each entry of ``[B]``, how many equal ones stand before it."""
    ascending, order = values.sort(stable=True)
    rank = torch.arange(len(values), device=values.device)
    before = torch.empty_like(rank)
    before[order] = rank - torch.searchsorted(ascending, ascending)
    return before


def require_places(places: torch.Tensor, size: int, what: str) -> None:
    """ValueError where one lies outside a memory; on a GPU they are not looked at, which waits."""
    if places.device.type == "cpu" and len(places):
        low, high = (int(bound) for bound in places.aminmax())
        if low < 0 or high >= size:
            raise ValueError(f"{what} {low} to {high} in a memory of {size}")
