"""How cases are measured: beside a twin, alone, and as a share of the limits of the machine.

The limits are measured too: large matrix products, and a copy in memory.

A computation takes at least as long as its products and convolutions would at the speed of a large
matrix product, and as long as what it is given and what it gives would at the speed of a copy, on
the same threads or card. Its share of the roofline is the longer of the two by the time it took.
"""

import math
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

MODES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
}
_BEST_OF, _REPEATS = 5, 2


@dataclass(frozen=True)
class Work:
    """The least that a computation has to do.

    Attributes:
        operations: multiplications and additions of its products and convolutions; of a product
            that is symmetric, those of one half.
        nbytes: what it is given and what it gives, each once; not what lies between.
        mode: of :data:`MODES`, how it multiplies.
    """

    operations: float = 0
    nbytes: float = 0
    mode: str = "float32"

    def share(self, seconds: float, peaks: dict) -> dict:
        """``roofline`` and which limit is meant (``bound``); empty where peaks are not known.

        Args:
            peaks: of :func:`measure_peaks`.
        """
        if self.mode not in peaks or "copy" not in peaks:
            return {}
        least = {
            "products": self.operations / peaks[self.mode],
            "memory": self.nbytes / peaks["copy"],
        }
        bound = max(least, key=least.get)
        return {"roofline": least[bound] / seconds, "bound": bound}


def synchronize(device) -> None:
    """Wait until a device has done all it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(function, device) -> float:
    """Seconds by the wall of one call, until the device has done it."""
    synchronize(device)
    start = time.perf_counter()
    function()
    synchronize(device)
    return time.perf_counter() - start


@contextmanager
def tensor_cores(allowed: bool):
    """Whether float32 products and convolutions of a card may be computed in TF32 inside."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def product_peak(mode: str, side: int, device="cpu") -> float:
    """Floating point operations a second of a square matrix product, the best of a few.

    Args:
        mode: of :data:`MODES`; ``tf32`` is float32 on a CPU.
    """
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.randn(side, side, generator=rng).to(device, MODES[mode]) for _ in range(2))
    out = torch.empty_like(a)
    with tensor_cores(mode == "tf32"):
        best = _best(lambda: torch.mm(a, b, out=out), device)
    return 2 * side**3 / best


def copy_peak(numbers: int, device="cpu") -> float:
    """Bytes a second, read and written, of a copy of so many float32 numbers."""
    source = torch.ones(numbers, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _best(lambda: target.copy_(source), device)


def measure_peaks(modes, side: int, numbers: int, device="cpu") -> dict[str, float]:
    """:func:`product_peak` of each mode, and :func:`copy_peak` as ``copy``."""
    peaks = {mode: product_peak(mode, side, device) for mode in modes}
    return {**peaks, "copy": copy_peak(numbers, device)}


def _best(function, device):
    function()
    return min(seconds_of(function, device) for _ in range(_BEST_OF))


def flops_of(function) -> int:
    """Floating point operations of the products and convolutions in one call."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def compare(bench, size, plain, ours, difference, work=None, repeats=_REPEATS, device="cpu"):
    """Figures of a function beside its twin, both run in turn.

    Args:
        size: in words, how much there was to do.
        difference: of the results of both, in this order, a number.
        work: a :class:`Work`; null where no sensible count exists.

    Raises:
        ValueError: the difference is not finite.
    """
    times, found = {plain: [], ours: []}, {}
    for _ in range(repeats):
        for function in (plain, ours):
            times[function].append(
                seconds_of(lambda run=function: found.update({run: run()}), device)
            )
    differs = float(difference(found[plain], found[ours]))
    if not math.isfinite(differs):
        raise ValueError(f"results differ by {differs}")
    return {
        **figures(bench, size, times[ours], work),
        "twin_times": times[plain],
        "twin_milliseconds": 1000 * min(times[plain]),
        "ratio": min(times[plain]) / min(times[ours]),
        "difference": differs,
    }


def figures(bench, size, times, work=None):
    """Those of a function that took so many seconds: the least counts."""
    share = {} if work is None else work.share(min(times), bench.peaks) | {"work": vars(work)}
    return {"size": size, "times": times, "milliseconds": 1000 * min(times), **share}


class PeakMemory:
    """Largest growth of this process's own memory inside the block, in bytes."""

    def __enter__(self):
        self.start = self.most = self._now()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return lambda: self.most - self.start

    def __exit__(self, *exception):
        self.done.set()
        self.thread.join()

    def _watch(self):
        while not self.done.wait(0.01):
            self.most = max(self.most, self._now())

    @staticmethod
    def _now():
        status = Path("/proc/self/status").read_text()
        return int(status.split("RssAnon:")[1].split()[0]) * 1024
