"""Where and how large the cases of :mod:`benchmarks.gpu` are, and how they are measured.

A mode says how a network computes: ``float32``; ``tf32``, which is float32 with TF32 in
convolutions (torch's default on a card) and in products of matrices; ``bf16``; ``compiled``, which
is bf16 with ``torch.compile``.
"""

import shutil
import statistics
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.measuring import seconds_of, synchronize, tensor_cores
from mdir.learning.compute import Runtime
from mdir.networks.factory import initialize_network
from mdir.origin import usable_cores

SCALES = (1, 2**-0.5, 0.5)
WARM_UP = 2
_SHARED_BYTES = 2 << 30


@dataclass(frozen=True)
class Sizes:
    """How large the cases are."""

    side: int  # of a product of matrices
    copied: int  # float32 numbers
    images: int
    pixels: int
    backbone: str
    batch: int  # of an extraction
    translated: int  # pixels
    batches: tuple[int, int]
    filters: int
    mined: tuple[int, int, int]  # queries, pool, dimensions
    learned: int  # images of each domain
    clustered: int
    seconds: float  # of repetitions
    most: int  # repetitions


FULL = Sizes(
    8192, 1 << 29, 1000, 1024, "resnet101", 8, 256, (1, 8), 64, (2000, 22_000, 2048), 64, 12_936,
    2.0, 30,
)  # fmt: skip
SMALL = Sizes(
    128, 1 << 16, 4, 64, "squeezenet1_1", 2, 32, (1, 2), 4, (20, 400, 16), 2, 200, 0.0, 1
)  # fmt: skip


@dataclass
class Bench:
    """Where and how large; what several cases need is made once."""

    device: torch.device
    sizes: Sizes
    peaks: dict = field(default_factory=dict)  # operations a second by mode, bytes a second

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def workers(self) -> int:
        """Processes that read images; none where what they hand over may not fit."""
        if not self.is_cuda or shutil.disk_usage("/dev/shm").free < _SHARED_BYTES:
            return 0
        return usable_cores()

    @cached_property
    def folder(self) -> tempfile.TemporaryDirectory:
        return tempfile.TemporaryDirectory(prefix="benchmark")

    @cached_property
    def files(self) -> list[str]:
        """JPEG files, every other one upright."""
        long, short = self.sizes.pixels, self.sizes.pixels * 3 // 4

        def write(number):
            rng = np.random.default_rng(number)
            size = (long, short) if number % 2 else (short, long)
            pixels = Image.fromarray(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8))
            path = Path(self.folder.name) / f"{number}.jpg"
            pixels.resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
            return str(path)

        with ThreadPool(usable_cores()) as pool:
            return pool.map(write, range(self.sizes.images))

    def descriptor_network(self, runtime=None):
        """An embedding network with its scales, as a scenario names it, of random weights."""
        model = {"architecture": "cirnet", "cir_architecture": self.sizes.backbone}
        model |= {"local_whitening": False, "pooling": "gem", "regional": False}
        model |= {"whitening": False, "pretrained": False}
        scales = {"0_cirmultiscale": {"scales": list(SCALES)}}
        section = {"type": "SingleNetwork", "model": model, "initialize": False}
        section["runtime"] = {"wrappers": {"train": None, "eval": scales}}
        torch.manual_seed(0)
        network = initialize_network(section, self.device).eval()
        if runtime is not None:
            runtime.prepare(network)
        return network

    def share(self, mode, flops, seconds):
        """Share of the roofline, where the peak of the mode was measured."""
        peak = self.peaks.get("bf16" if mode.startswith(("bf16", "compiled")) else mode)
        return None if peak is None else flops / seconds / peak


@contextmanager
def computing(mode: str):
    """The runtime settings of a mode, its precision of products set inside."""
    runtime = Runtime(
        precision="bf16" if mode.startswith(("bf16", "compiled")) else "float32",
        channels_last=mode == "bf16 channels-last",
        compile=mode == "compiled",
    )
    with tensor_cores(mode != "float32"):
        yield runtime


def median(function, bench: Bench) -> float:
    """Median seconds of a function that is warm."""
    begin, times = time.perf_counter(), []
    while not times or (
        time.perf_counter() - begin < bench.sizes.seconds and len(times) < bench.sizes.most
    ):
        times.append(seconds_of(function, bench.device))
    return statistics.median(times)


def peak_memory(function, bench: Bench) -> float | None:
    """MiB that torch holds at most on a card while a function runs; null on a CPU."""
    if not bench.is_cuda:
        function()
        return None
    torch.cuda.reset_peak_memory_stats()
    function()
    synchronize(bench.device)
    return torch.cuda.max_memory_allocated() / 2**20
