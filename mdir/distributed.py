"""Several processes of one launch (torchrun) that share the work of a step.

Work is shared inside :func:`together` only, which all processes enter. Everywhere else, and without
a launcher, a process is on its own: it is the first of one.
"""

import atexit
import os
from contextlib import contextmanager

import torch
import torch.distributed as dist

_together = 0


@contextmanager
def together():
    """Share the work of the block among all processes of the launch, connected where needed.

    GPUs talk through NCCL, CPUs through gloo.
    """
    global _together
    launched = int(os.environ.get("WORLD_SIZE", 1)) > 1
    if launched and not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(_stop)
    _together += 1
    try:
        yield
    finally:
        _together -= 1


def rank() -> int:
    """The number of this process; the first one, 0, writes and prints."""
    return dist.get_rank() if _together and dist.is_initialized() else 0


def size() -> int:
    """How many processes share the work."""
    return dist.get_world_size() if _together and dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return rank() == 0


def barrier() -> None:
    """Wait until every process is here."""
    if size() > 1:
        dist.barrier()


def sum_all(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """The sums over all processes of tensors of the same shapes everywhere, in one exchange."""
    if size() == 1 or not tensors:
        return tensors
    flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
    dist.all_reduce(flat)
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


def gather(value) -> list:
    """One value from each process, in their order, everywhere."""
    if size() == 1:
        return [value]
    values = [None] * size()
    dist.all_gather_object(values, value)
    return values


def share(items) -> list:
    """This process's share of a sequence that all have: every so-manyth item."""
    return list(items)[rank() :: size()]


def _stop():
    if dist.is_initialized():
        dist.destroy_process_group()
