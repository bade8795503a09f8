"""Batches out of several data sections: a stream of items of each, joined by one loader."""

from dataclasses import dataclass
from itertools import islice

from torch.utils.data import DataLoader, Dataset

from cirtorch.utils.errors import DataError
from mdir.data.loading import make_loader
from mdir.data.samplers import sample_seed, too_few
from mdir.errors import UserError

_STREAM = -3  # in place of an index: what one stream draws is nothing to another
_KEPT = (
    *("dataset", "batch_sampler", "collate_fn", "num_workers", "pin_memory", "prefetch_factor"),
    *("timeout", "generator", "worker_init_fn", "multiprocessing_context"),
)


@dataclass(frozen=True)
class Stream:
    """What a data section gives to the batches of an epoch.

    Attributes:
        dataset: whose items they are.
        section: the data section, of which ``loader`` counts here.
        first_epoch: of a row of epochs over that dataset, see
            :func:`mdir.data.loading.make_loader`.
    """

    dataset: Dataset
    section: dict
    first_epoch: int = 0


def stream_loaders(
    streams: list[Stream],
    stage_defaults: dict | None = None,
    seed: int = 0,
    epoch: int = 0,
    iterations: int | None = None,
) -> list[DataLoader]:
    """A loader of each stream for one epoch, all of one length.

    That is ``iterations``, or one pass over the first stream; the others give as many batches out
    of an endless row of passes. What the first one gives does not depend on there being others.

    Raises:
        UserError: a pass is less than a batch.
    """
    loaders = []
    for number, stream in enumerate(streams):
        loaders.append(
            make_loader(
                stream.dataset,
                stream.section,
                stage_defaults,
                sample_seed(seed, number, _STREAM) if number else seed,
                epoch,
                iterations=iterations,
                first_epoch=stream.first_epoch,
            )
        )
        iterations = len(loaders[0])
    if not iterations:
        raise UserError(too_few(loaders[0].sampler.sampler, loaders[0].batch_size))
    return loaders


def join_loaders(loaders: list[DataLoader], done: int = 0) -> DataLoader:
    """One loader of all batches side by side: a batch is a list, a batch of each, in their order.

    It has the workers of the one with most; a single loader is its own.

    Args:
        done: the first batches, so many, are left out.
    """
    if done:
        loaders = [
            remade(loader, batch_sampler=Rest(loader.batch_sampler, done)) for loader in loaders
        ]
    if len(loaders) == 1:
        return loaders[0]
    return remade(
        max(loaders, key=lambda loader: loader.num_workers),
        dataset=_Joined([loader.dataset for loader in loaders]),
        batch_sampler=_JoinedBatches([loader.batch_sampler for loader in loaders]),
        collate_fn=_JoinedCollate([loader.collate_fn for loader in loaders]),
        pin_memory=any(loader.pin_memory for loader in loaders),
    )


def remade(loader: DataLoader, **changed) -> DataLoader:
    """A loader like another, but for what is changed."""
    return type(loader)(**{name: getattr(loader, name) for name in _KEPT} | changed)


class Rest:
    """What is left of the batches of a batch sampler after so many."""

    def __init__(self, batches, done: int):
        self.batches, self.done = batches, done

    def __len__(self):
        return len(self.batches) - self.done

    def __iter__(self):
        return islice(iter(self.batches), self.done, None)


class _Joined(Dataset):
    """Items of several datasets by ``(number of the dataset, index)``, with that number."""

    def __init__(self, datasets):
        self.datasets = datasets

    def __getitem__(self, place):
        number, index = place
        return number, self.datasets[number][index]


class _JoinedBatches:
    def __init__(self, batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches[0])

    def __iter__(self):
        for together in zip(*self.batches, strict=True):
            yield [(number, index) for number, batch in enumerate(together) for index in batch]


class _JoinedCollate:
    def __init__(self, collates):
        self.collates = collates

    def __call__(self, items):
        streams = [[item for at, item in items if at == number]
                   for number in range(len(self.collates))]  # fmt: skip
        batches = [collate(stream) for collate, stream in zip(self.collates, streams, strict=True)]
        errors = [batch for batch in batches if isinstance(batch, DataError)]
        return errors[0] if errors else batches
