"""Random numbers of a sample and the order of samples: functions of (seed, epoch, index) alone.

So any number of workers, and a run resumed after being killed, give the same batches bit for bit.

A component of the kind ``sampler`` is made of ``(dataset, seed, epoch)``: iterating it gives the
indices of a pass over the dataset, the same each time, and ``len`` how many. It keeps ``epoch``,
which may be set for another pass. ``needs`` names what the dataset has to tell, as attributes
that its class defines.
"""

import copy
import random
from collections import Counter
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.data import Sampler

from mdir.errors import UserError

ORDER = -1  # in place of an index: the order belongs to no sample
_PASSES = 10**6  # passes that begin with one epoch are numbered apart from those of the next


class EpochSampler(Sampler):
    """All indices once, in order or shuffled by a generator of (seed, epoch)."""

    def __init__(self, length: int, shuffle: bool, seed: int, epoch: int):
        self.length, self.shuffle, self.seed, self.epoch = length, shuffle, seed, epoch

    def __len__(self):
        return self.length

    def __iter__(self):
        if not self.shuffle:
            return iter(range(self.length))
        generator = torch.Generator().manual_seed(sample_seed(self.seed, self.epoch, ORDER))
        return iter(torch.randperm(self.length, generator=generator).tolist())


class OnePass(Sampler):
    """The items of a pass as a loader asks for them: ``(epoch, index, repeat)``.

    ``repeat`` tells how often the item has come in this pass already: each time it gets other
    random numbers.
    """

    def __init__(self, sampler: Sampler):
        self.sampler = sampler

    def __len__(self):
        return len(self.sampler)

    def __iter__(self):
        seen = Counter()
        for index in self.sampler:
            yield self.sampler.epoch, index, seen[index]
            seen[index] += 1


class PassesSampler(Sampler):
    """The items of ``iterations`` batches out of an endless row of passes over a dataset."""

    def __init__(self, sampler: Sampler, batch_size: int, iterations: int, first_epoch: int):
        self.sampler, self.batch_size, self.iterations = sampler, batch_size, iterations
        self.first_epoch = first_epoch
        if len(sampler) < batch_size:
            raise UserError(too_few(sampler, batch_size))

    def __len__(self):
        return self.iterations * self.batch_size

    def __iter__(self):
        start = (self.sampler.epoch - self.first_epoch) * self.iterations
        batches = len(self.sampler) // self.batch_size
        current, order = None, []
        for iteration in range(start, start + self.iterations):
            number, batch = divmod(iteration, batches)
            if number != current:
                current, one_pass = number, copy.copy(self.sampler)
                one_pass.epoch = self.first_epoch * _PASSES + number
                order = list(OnePass(one_pass))
            yield from order[batch * self.batch_size : (batch + 1) * self.batch_size]


def too_few(sampler: Sampler, batch_size: int) -> str:
    """What to say of a pass that is less than a batch; a sampler's ``contents`` tells why."""
    contents = f" ({sampler.contents})" if hasattr(sampler, "contents") else ""
    return f"a pass has {len(sampler)} items{contents}, a batch {batch_size}"


def sample_seed(seed: int, epoch: int, index: int, repeat: int = 0) -> int:
    """63 well-mixed bits of (seed, epoch, index), and of ``repeat`` unless it is 0."""
    numbers = (seed, epoch, index, repeat) if repeat else (seed, epoch, index)
    entropy = [number % 2**64 for number in numbers]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)


@contextmanager
def seeded(seed: int):
    """Seed Python's, NumPy's and torch's CPU generators inside the block; restore them after."""
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.default_generator.set_state(states[2])
