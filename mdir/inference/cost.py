"""What it costs to describe images, measured while an evaluation does it.

Timed is the way of a batch from the hands of the loader until its descriptors lie in the memory of
the CPU: the transfer to the device, the wrappers (scales, whitening), the model, the transfer back.
Reading, decoding and transforms of images are not, nor is the search. The first batch warms up and
does not count.
"""

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch

_BYTES_A_NUMBER = 4  # descriptors are kept as float32
_measuring: ContextVar["Cost | None"] = ContextVar("cost of descriptors", default=None)


@dataclass
class Cost:
    """Of the descriptors of one evaluation, as far as this process made them.

    ``images``, ``seconds``: those that count. ``batches``: with the one that warms up.
    ``dimensions``: length of a descriptor. ``device``: its name, as of the graphics card.
    """

    images: int = 0
    seconds: float = 0.0
    batches: int = 0
    dimensions: int = 0
    device: str = ""

    def add(self, columns: torch.Tensor, seconds: float, device: torch.device) -> None:
        """Count a batch that gave ``columns`` ``[D, n]``."""
        if self.batches:
            self.images, self.seconds = self.images + columns.shape[1], self.seconds + seconds
        self.batches, self.dimensions = self.batches + 1, columns.shape[0]
        is_cuda = device.type == "cuda"
        self.device = torch.cuda.get_device_name(device) if is_cuda else str(device)

    def times(self) -> dict[str, float]:
        """``images_per_second`` and ``milliseconds_per_image``; {} of one batch alone."""
        if not self.images:
            return {}
        seconds = max(self.seconds, 1e-9)
        return {
            "images_per_second": self.images / seconds,
            "milliseconds_per_image": 1000 * seconds / self.images,
        }

    def told(self) -> dict:
        """What is kept beside a score; {} where nothing was described."""
        if not self.batches:
            return {}
        told = self.times() or {"not_measured": "one batch alone, which warms up"}
        about = {"dimensions": self.dimensions, "device": self.device, "images": self.images}
        return {**told, "bytes_per_image": _BYTES_A_NUMBER * self.dimensions, **about}


@contextmanager
def measured():
    """The :class:`Cost` of all descriptors that are extracted inside the block."""
    cost = Cost()
    token = _measuring.set(cost)
    try:
        yield cost
    finally:
        _measuring.reset(token)


def count_batch(columns: torch.Tensor, seconds: float, device: torch.device) -> None:
    """Count a batch, whose descriptors are ``columns`` ``[D, n]``, where that is measured."""
    if (cost := _measuring.get()) is not None:
        cost.add(columns, seconds, device)
