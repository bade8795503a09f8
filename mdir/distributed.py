"""Several processes of one launch (torchrun) that share the work of a step.

Without a launcher there is one process, and everything here does nothing.
"""

import atexit
import os

import torch
import torch.distributed as dist


def rank() -> int:
    """The number of this process; the first one, 0, writes and prints."""
    return int(os.environ.get("RANK", 0))


def size() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", 1))


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return rank() == 0


def start() -> None:
    """Connect to the other processes: NCCL between GPUs, gloo between CPUs."""
    if size() == 1 or dist.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    atexit.register(_stop)


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


def gather_shares(items: list) -> list:
    """The whole sequence again, in order, from what each process made of its share."""
    parts = gather(items)
    return [parts[i % len(parts)][i // len(parts)] for i in range(sum(map(len, parts)))]


def _stop():
    if dist.is_initialized():
        dist.destroy_process_group()
