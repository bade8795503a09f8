"""Several processes of one launch (torchrun) that share the work of a step.

Work is shared inside :func:`together` only, which all processes enter. Everywhere else, and without
a launcher, a process is on its own: it is the first of one.
"""

import atexit
import os
from contextlib import contextmanager
from dataclasses import dataclass

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
        dist.barrier()  # the first process holds what the others connect by: it may be done early
        atexit.register(_stop)
    _together += 1
    try:
        yield
    except BaseException:
        # The others may wait in an exchange that never comes: leaving their group would wait, too.
        atexit.unregister(_stop)
        raise
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
    """The sums over all processes of tensors of the same shapes everywhere.

    There is one exchange for each dtype. The results have no graph.
    """
    if size() == 1:
        return tensors
    sums = list(tensors)
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        places = [place for place, tensor in enumerate(tensors) if tensor.dtype == dtype]
        parts = [tensors[place].detach() for place in places]
        flat = torch.cat([part.flatten().to(_exchange_device()) for part in parts])
        dist.all_reduce(flat)
        flat = flat.split([part.numel() for part in parts])
        for place, part, whole in zip(places, parts, flat, strict=True):
            sums[place] = whole.view_as(part).to(part.device)
    return sums


def gather(value) -> list:
    """One value from each process, in their order, everywhere."""
    if size() == 1:
        return [value]
    values = [None] * size()
    dist.all_gather_object(values, value)
    return values


def from_first(value):
    """The first process's value, everywhere."""
    if size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


@torch.no_grad()
def copy_from_first(tensors) -> None:
    """Overwrite tensors with those of the first process."""
    if size() == 1:
        return
    for tensor in tensors:
        sent = tensor.detach().contiguous().to(_exchange_device())
        dist.broadcast(sent, src=0)
        tensor.copy_(sent)


def own_part(items) -> list:
    """This process's part of a sequence that all have: every n-th item of n processes."""
    return list(items)[rank() :: size()]


@dataclass(frozen=True)
class BatchPart:
    """Which part of a batch of ``whole`` items is here: ``own`` of them, as :func:`own_part` says.

    Where there are too few for all, ``own`` is 0 and an item stands in whose step counts nothing.
    """

    own: int
    whole: int

    @property
    def weight(self) -> float:
        """The share of the items that is here."""
        return self.own / self.whole

    @property
    def counts(self) -> bool:
        """Whether what is here belongs to the batch, and does not stand in."""
        return self.own > 0

    def size(self, here: int) -> int:
        """How many items the whole batch has, of which so many are here."""
        return self.whole

    def join(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows of the items that are here to those of the whole batch.

        ``[own * k, ...]`` gives ``[whole * k, ...]``: k rows per item, item by item. Own rows keep
        their graph, those of others come without; nothing flows back to a stand-in.
        """
        rows = rows.unflatten(0, (self.own or 1, -1))
        joined = rows.new_zeros((self.whole, *rows.shape[1:]))
        if self.own:
            joined[rank() :: size()] = rows.detach()
        (joined,) = sum_all([joined])
        if rows.requires_grad and self.own:
            places = torch.arange(self.whole, device=rows.device)[rank() :: size()]
            joined = joined.index_copy(0, places, rows)
        elif rows.requires_grad:
            joined = joined + 0 * rows.sum()
        return joined.flatten(0, 1)

    def cut(self, rows: torch.Tensor) -> torch.Tensor:
        """The rows of the items that are here, of those that :meth:`join` gives.

        A stand-in gets those of the first item.
        """
        rows = rows.unflatten(0, (self.whole, -1))
        return (rows[rank() :: size()] if self.own else rows[:1]).flatten(0, 1)


class WholeBatch:
    """What :class:`BatchPart` says of a batch that is not divided: everything is here."""

    weight, counts = 1.0, True

    def size(self, here: int) -> int:
        return here

    def join(self, rows: torch.Tensor) -> torch.Tensor:
        return rows

    cut = join


WHOLE = WholeBatch()


def _exchange_device():
    """Where tensors have to be to be exchanged."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def _stop():
    if dist.is_initialized():
        dist.destroy_process_group()
