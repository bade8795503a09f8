"""A batch divided among the processes of a launch, so that together they step as one.

The batch size of a scenario is that of all processes together. Each takes every so-manyth item of
every batch; gradients are added up before an optimizer steps, losses before they are logged.
"""

import torch
from torch.utils.data import DataLoader

from mdir import distributed
from mdir.errors import UserError


class SharedBatches:
    """This process's part of the batches of a batch sampler.

    Attributes:
        shares: for each batch so far, the share of its items that is here; 0 where there are too
            few for all, and an item stands in whose step counts nothing.
    """

    def __init__(self, batches):
        self.batches = batches
        self.shares = []

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        for batch in self.batches:
            own = distributed.share(batch)
            self.shares.append(len(own) / len(batch))
            yield own or batch[:1]


def shared_loader(loader: DataLoader) -> DataLoader:
    """A loader of this process's parts of the batches of another."""
    if loader.batch_size < distributed.size():
        raise UserError(
            f"batch_size {loader.batch_size} cannot be divided among {distributed.size()} "
            "processes; it is that of all processes together"
        )
    return DataLoader(
        loader.dataset,
        batch_sampler=SharedBatches(loader.batch_sampler),
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
        pin_memory=loader.pin_memory,
        prefetch_factor=loader.prefetch_factor,
        timeout=loader.timeout,
        generator=loader.generator,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
    )


class SharedSteps:
    """Makes the steps of a method those of all processes together.

    Args:
        method: divisible; where ``share`` is set its losses and gradients are parts of a sum
            (``additive``), or means over this process's items, which are weighted here.
        optimizer: whose gradients are added up before each step.
    """

    def __init__(self, method, optimizer):
        if not method.divisible:
            raise UserError(
                f"{type(method).__name__} compares the images of a batch, which cannot be divided "
                f"among {distributed.size()} processes; start it in one"
            )
        self.method, self.weight = method, 1.0
        parts = optimizer.optimizers.values() if hasattr(optimizer, "optimizers") else [optimizer]
        for part in parts:
            part.register_step_pre_hook(self._add_up_gradients)

    def step(self, batch, share: float) -> dict:
        """One step of which this process does a share; the losses of the whole."""
        self.method.share = share or 1.0
        self.weight = float(share > 0) if self.method.additive else share
        losses = self.method.step(batch)
        values = [torch.as_tensor(value) * self.weight for value in losses.values()]
        return dict(zip(losses, distributed.sum_all(values), strict=True))

    def _add_up_gradients(self, optimizer, args, kwargs):
        gradients = [
            parameter.grad
            for group in optimizer.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        whole = distributed.sum_all([gradient * self.weight for gradient in gradients])
        for gradient, value in zip(gradients, whole, strict=True):
            gradient.copy_(value)


@torch.no_grad()
def average_buffers(models) -> None:
    """Make running statistics, which each process took from its own images, equal everywhere."""
    buffers = [
        buffer for model in models for buffer in model.buffers() if buffer.is_floating_point()
    ]
    means = distributed.sum_all([buffer / distributed.size() for buffer in buffers])
    for buffer, mean in zip(buffers, means, strict=True):
        buffer.copy_(mean)
