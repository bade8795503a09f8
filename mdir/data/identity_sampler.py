"""Batches of identities: some images of each, from other cameras where there are any."""

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Annotated

import numpy as np
import torch
from torch.utils.data import Sampler

from mdir.data.samplers import ORDER, sample_seed, seeded
from mdir.registry import register
from mdir.registry.ranges import at_least


@register("sampler", "identities")
class IdentitySampler(Sampler):
    """K items of an identity side by side (RandomMultipleGallerySampler of SpCL, NeurIPS 2020).

    A pass goes through the identities at random. Of each it takes one item and K - 1 of those that
    other cameras saw, or of all others where none did; with replacement where there are fewer than
    K. An identity of a single item gives that one alone, items of a negative identity never come.

    Args:
        dataset: has ``identities``, a number per item, and maybe ``cameras`` likewise.
        seed, epoch: decide the draws.
        instances: K.
        across_cameras: false: cameras do not matter.
    """

    needs = ("identities",)

    def __init__(
        self,
        dataset,
        seed: int,
        epoch: int,
        *,
        instances: Annotated[int, at_least(1)] = 4,
        across_cameras: bool = True,
    ):
        self.seed, self.epoch, self.instances = seed, epoch, instances
        cameras = getattr(dataset, "cameras", None) if across_cameras else None
        self.cameras = [0] * len(dataset) if cameras is None else cameras
        members = defaultdict(list)
        for index, identity in enumerate(dataset.identities):
            if identity >= 0:
                members[identity].append(index)
        self.members = list(members.values())

    def __len__(self):
        return sum(1 if len(items) == 1 else self.instances for items in self.members)

    @property
    def contents(self) -> str:
        """What a pass is made of, for messages."""
        return f"{len(self.members)} identities or clusters, {self.instances} of each"

    def __iter__(self):
        with seeded(sample_seed(self.seed, self.epoch, ORDER)):
            return iter(list(self.draw()))

    def draw(self) -> Iterator[int]:
        """The indices of a pass, drawn by the global generators (torch's, Python's, NumPy's)."""
        for number in torch.randperm(len(self.members)).tolist():
            items = self.members[number]
            first = random.choice(items)
            yield first
            others = [item for item in items if self.cameras[item] != self.cameras[first]]
            others = others or [item for item in items if item != first]
            if others:
                again = len(others) < self.instances  # published, though K - 1 would do
                yield from np.random.choice(others, self.instances - 1, replace=again).tolist()
