"""A batch divided among the processes of a launch, so that together they step as one.

The batch size of a scenario is that of all processes together. With n of them, each takes every
n-th item of a batch; gradients are added up before an optimizer steps, losses before they are
logged, and batch normalisation takes its statistics from the whole batch.
"""

import torch
from torch.utils.data import DataLoader

from mdir import distributed
from mdir.data.streams import Rest, join_loaders, remade
from mdir.distributed import BatchPart
from mdir.errors import UserError
from mdir.learning.parallel.dropout import sync_dropout
from mdir.learning.parallel.normalization import divided, sync_statistics
from mdir.learning.seeding import generators_state, restore_generators


class DividedBatches:
    """This process's part of the batches of a batch sampler.

    Attributes:
        parts: for each batch so far, which part of it is here.
    """

    def __init__(self, batches):
        self.batches = batches
        self.parts = []

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        for batch in self.batches:
            own = distributed.own_part(batch)
            self.parts.append(BatchPart(len(own), len(batch)))
            yield own or batch[:1]


class DividedLoader:
    """Batches of which this process makes a part, each with that part: ``(batch, BatchPart)``.

    Args:
        loaders: of the streams that are joined to batches; they give equal numbers of items.
        done: the first batches, so many, are left out.
    """

    def __init__(self, loaders: list[DataLoader], done: int = 0):
        for loader in loaders:
            if (loader.batch_size or 0) < distributed.size():
                raise UserError(
                    f"batch_size {loader.batch_size} cannot be divided among {distributed.size()} "
                    "processes; it is that of all processes together"
                )
        if len(loaders) > 1:
            _require_equal_batches(loaders)
        self.batches = [DividedBatches(Rest(loader.batch_sampler, done)) for loader in loaders]
        self.loader = join_loaders(
            [
                remade(loader, batch_sampler=batches)
                for loader, batches in zip(loaders, self.batches, strict=True)
            ]
        )

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        for number, batch in enumerate(self.loader):
            yield batch, self.batches[0].parts[number]


def _require_equal_batches(loaders):
    """Streams of one batch share the part of it that is here."""
    sizes = [loader.batch_size for loader in loaders]
    ragged = not loaders[0].drop_last and len(loaders[0].sampler) % sizes[0]
    if len(set(sizes)) > 1 or ragged:
        raise UserError(
            f"data sections with batches of {', '.join(map(str, sizes))} items"
            f"{', the last one incomplete,' if ragged else ''} cannot be divided among "
            f"{distributed.size()} processes: give all of them one batch_size, and drop_last: true"
        )


class DividedSteps:
    """Makes the steps of a method those of all processes together.

    Args:
        method: one that can be divided.
        optimizer: whose gradients are added up before each step.
        models: all modules; everybody begins with those of the first process.
    """

    def __init__(self, method, optimizer, models):
        self.dividing = method.dividing
        if self.dividing.refused is not None:
            raise UserError(
                f"{type(method).__name__} cannot be divided among {distributed.size()} processes: "
                f"{self.dividing.refused}; start it in one"
            )
        self.method, self.models = method, list(models)
        parts = optimizer.optimizers.values() if hasattr(optimizer, "optimizers") else [optimizer]
        for part in parts:
            part.register_step_pre_hook(_add_up_gradients)
        for model in self.models:
            distributed.copy_from_first([*model.parameters(), *model.buffers()])
            sync_statistics(model)
            sync_dropout(model)
        _agree_on_generators()

    def step(self, batch, part: BatchPart) -> dict:
        """One step of which this process does a part; the losses of the whole."""
        with divided(part if self.dividing.at_once else None):
            losses = self.method.step(batch, part)
        weight = 1.0 if self.dividing.reports_its_part else part.weight
        values = [torch.as_tensor(value) * weight for value in losses.values()]
        return dict(zip(losses, distributed.sum_all(values), strict=True))

    def states(self) -> list[dict]:
        """What is each process's own in the middle of an epoch (see :meth:`end_epoch`)."""
        buffers = [buffer.cpu() for model in self.models for buffer in model.buffers()]
        return distributed.gather({"generators": generators_state(), "buffers": buffers})

    def load_states(self, states: list[dict]) -> None:
        """Continue from :meth:`states`; as many other processes do, all as the first of those."""
        same = len(states) == distributed.size()
        state = states[distributed.rank() if same else 0]
        buffers = [buffer for model in self.models for buffer in model.buffers()]
        for buffer, stored in zip(buffers, state["buffers"], strict=True):
            buffer.copy_(stored)
        restore_generators(state["generators"])

    def end_epoch(self) -> None:
        """Make everybody equal again.

        Statistics of batch normalisation differ where items went through one by one (as every
        single process would take them, but in another order); generators where items had no use
        for equally many random numbers.
        """
        for model in self.models:
            _average_buffers(model)
        _agree_on_generators()


def _add_up_gradients(optimizer, args, kwargs):
    gradients = [
        parameter.grad
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter.grad is not None
    ]
    for gradient, whole in zip(gradients, distributed.sum_all(gradients), strict=True):
        gradient.copy_(whole)


@torch.no_grad()
def _average_buffers(model):
    buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    means = distributed.sum_all([buffer / distributed.size() for buffer in buffers])
    for buffer, mean in zip(buffers, means, strict=True):
        buffer.copy_(mean)


def _agree_on_generators():
    restore_generators(distributed.from_first(generators_state()))
