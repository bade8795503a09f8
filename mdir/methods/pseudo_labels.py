"""Labels that clustering gives to unlabelled images, anew before each epoch."""

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch

from mdir import distributed
from mdir.errors import UserError
from mdir.inference.descriptors import extract_unit_rows
from mdir.methods.base import Dividing, Method

BatchNorm = Literal["synchronised", "per_process"]


class Seconds(dict[str, float]):
    """How long the parts of something took, by name."""

    @contextmanager
    def of(self, name: str):
        """Add the time of the block."""
        begin = time.time()
        yield
        self[name] = self.get(name, 0.0) + time.time() - begin


@dataclass(frozen=True)
class PseudoLabels:
    """What an epoch learns from.

    Attributes:
        epoch: from 0.
        labels: int64 ``[N]``, one an image; -1: it is left out.
        seconds: of each part of the preparation.
        dataset: whose images they are; None until the method keeps them.
    """

    epoch: int
    labels: np.ndarray
    seconds: Seconds = field(default_factory=Seconds)
    dataset: Any = None

    @property
    def _sizes(self):
        """Of the labels that several images have."""
        sizes = np.unique(self.labels[self.labels >= 0], return_counts=True)[1]
        return sizes[sizes > 1]

    @property
    def clusters(self) -> int:
        """Labels of several images."""
        return len(self._sizes)

    @property
    def unclustered(self) -> int:
        """Images that share their label with none, or are left out."""
        return len(self.labels) - int(self._sizes.sum())

    @property
    def summary(self) -> str:
        """A line for people."""
        times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
        times = f"; {times}" if times else ""
        counts = f"{self.clusters} clusters, {self.unclustered} of {len(self.labels)} images"
        return f"Labels [{self.epoch + 1:02d}]: {counts} in none{times}"

    def numbers(self) -> dict[str, float]:
        """To be logged."""
        times = {f"{name}_s": seconds for name, seconds in self.seconds.items()}
        return {"clusters": self.clusters, "unclustered": self.unclustered, **times}


class PseudoLabelMethod(Method):
    """Base of methods that learn from clusters, with a memory as their criterion.

    Images are described in the data section ``images``, which shows those of the training as
    evaluations see them. Processes that work together divide that; the first one clusters for all.
    The network gives descriptors as columns; items of the datasets are those of ``reid``.

    Args:
        batch_norm: of a batch divided among processes: ``synchronised`` takes the statistics of
            the whole, ``per_process`` those of each part, as published runs on several GPUs did.
    """

    processors = MappingProxyType({"clusters": {}})

    def __init__(self, network, optimizer, criterion, data, images: str, batch_norm: BatchNorm):
        super().__init__(network, optimizer, criterion, data)
        self.images = images
        self.dividing = Dividing(at_once=batch_norm == "synchronised")
        self.labels: np.ndarray | None = None
        self._epoch = 0
        self._found: PseudoLabels | None = None

    def extract(self, name: str) -> torch.Tensor:
        """Unit rows ``[N, D]``, on the CPU, of all images of a data section."""
        loader = self.data.section(name).get("loader")
        return extract_unit_rows(self.network, self.data(name), loader, f"features of {name}")

    def require_same_images(self, name: str, dataset) -> None:
        """UserError unless a data section describes the very images of a training's."""
        if self.data(name).files != dataset.files:
            raise UserError(
                f"the data section {name!r} has other images than the training's: it describes "
                "these, so that both need one dataset"
            )

    def keep(self, found: PseudoLabels) -> dict[str, float]:
        """Let the epoch learn from these labels; the numbers to be logged."""
        self.labels, self._epoch = found.labels, found.epoch
        self._found = replace(found, dataset=self.data(self.images))
        return found.numbers()

    def results(self):
        found, self._found = self._found, None
        return found

    def relabelled(self, stream, epoch: int):
        """A stream of the images under their new labels, which begins with the epoch."""
        return replace(stream, dataset=stream.dataset.relabelled(self.labels), first_epoch=epoch)

    def state_dict(self):
        labels = None if self.labels is None else torch.from_numpy(self.labels)
        criterion = self.criterion.state_dict()
        return {"criterion": criterion, "labels": labels, "epoch": self._epoch}

    def load_state_dict(self, state):
        self.criterion.load_state_dict(state["criterion"])
        if state["labels"] is not None:
            self.keep(PseudoLabels(state["epoch"], state["labels"].numpy()))


def from_the_first(function, *args):
    """What a function gives in the first of the processes, everywhere."""
    return distributed.from_first(function(*args) if distributed.is_first() else None)
