"""The cases of :mod:`benchmarks.gpu`: each gives its figures as a mapping.

A mode says how a network computes: ``float32``; ``tf32``, which is float32 as torch computes it on
a card by default; ``bf16``; ``compiled``, which is bf16 with ``torch.compile``.
"""

import statistics
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing.pool import ThreadPool
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import torch.distributed as dist
import torchvision.transforms as T
from PIL import Image

from benchmarks import generators, reid, slow_reid, slow_retrieval
from benchmarks.published_generators import STEPS
from benchmarks.retrieval import unit
from benchmarks.roofline import (
    copy_peak,
    flops_of,
    product_peak,
    seconds_of,
    synchronize,
    tensor_cores,
)
from cirtorch.datasets.genericdataset import ImagesFromList
from cirtorch.datasets.mining import mine_hard_negatives
from cirtorch.networks.imageretrievalnet import extract_vectors
from mdir import distributed
from mdir.inference.descriptors import extract_descriptors
from mdir.learning.compute import Runtime
from mdir.networks.factory import initialize_network
from mdir.origin import usable_cores

SCALES = (1, 2**-0.5, 0.5)
_NORMALIZE = T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
_WARM_UP = 2


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
    3.0, 30,
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


def roofline(bench):
    """The peaks of matrix products and of a copy."""
    modes = ("float32", "tf32", "bf16") if bench.is_cuda else ("float32", "bf16")
    found = {mode: product_peak(mode, bench.sizes.side, bench.device) for mode in modes}
    return {"peaks": {**found, "copy": copy_peak(bench.sizes.copied, bench.device)}}


def goldens(bench, tf32, names=None):
    """Greatest deviations of golden numbers by group."""
    from benchmarks import gpu_goldens

    if not gpu_goldens.golden.golden_root().is_dir():
        return {"skipped": "no golden numbers here, give --golden FOLDER"}
    names = names or (gpu_goldens.CONVOLUTIONS if tf32 else gpu_goldens.GROUPS)
    found = {}
    with tensor_cores(tf32):
        for name in names:
            factor = gpu_goldens.TF32_FACTOR if tf32 else 1
            try:
                cases = gpu_goldens.GROUPS[name](bench.device)
                found[name] = gpu_goldens.deviation(cases, factor)
            except Exception as error:  # the other groups are still worth knowing
                found[name] = {"errors": [f"{type(error).__name__}: {error}"[:500]]}
    wrong = [n for n, g in found.items() if g["errors"] or g["of_bound"] > 1]
    return {"groups": found, "outside": wrong}


def network_of_descriptors(bench, mode):
    """Images a second through network and scales, in batches that lie on the device."""
    short = bench.sizes.pixels * 3 // 4
    images = torch.rand(bench.sizes.batch, 3, short, bench.sizes.pixels, device=bench.device)
    with computing(mode) as runtime, torch.no_grad():
        flops = flops_of(lambda: bench.descriptor_network()(images[:1])) * len(images)
        network = bench.descriptor_network(runtime)

        def describe():
            with runtime.autocast(bench.device):
                return network(images)

        first = seconds_of(describe, bench.device)
        for _ in range(_WARM_UP):
            describe()
        memory = peak_memory(describe, bench)
        seconds = median(describe, bench)
        reference = bench.descriptor_network()(images)
        difference = float((describe().float() - reference).abs().max())
    return {
        "first_seconds": first,
        "images_per_second": len(images) / seconds,
        "milliseconds_per_image": 1000 * seconds / len(images),
        "roofline": bench.share(mode, flops, seconds),
        "difference": difference,
        "peak_mib": memory,
    }


def door(bench, mode):
    """Images a second from JPEG files to descriptors by the project's extraction."""
    transform = T.Compose([T.ToTensor(), _NORMALIZE])
    dataset = ImagesFromList("", bench.files, bench.sizes.pixels, transform=transform)
    loader = {"num_workers": min(usable_cores(), len(dataset)) if bench.is_cuda else 0}
    with computing(mode) as runtime:
        network = bench.descriptor_network(runtime)

        def extract(data):
            with runtime.autocast(bench.device):
                return extract_descriptors(network, data, loader)

        extract(torch.utils.data.Subset(dataset, range(min(len(dataset), 4 * bench.sizes.batch))))
        timed = []
        memory = peak_memory(
            lambda: timed.append(seconds_of(lambda: extract(dataset), bench.device)), bench
        )
    return {
        "images_per_second": len(dataset) / timed[0],
        "peak_mib": memory,
        "images": len(dataset),
    }


def loading(bench):
    """Images a second that the loader alone gives: read, decoded, made tensors."""
    from mdir.inference.batches import load_same_size

    transform = T.Compose([T.ToTensor(), _NORMALIZE])
    dataset = ImagesFromList("", bench.files, bench.sizes.pixels, transform=transform)
    loader = {"num_workers": min(usable_cores(), len(dataset)) if bench.is_cuda else 0}
    seconds = seconds_of(
        lambda: sum(len(at) for at, _ in load_same_size(dataset, loader, bench.sizes.batch, "")),
        "cpu",
    )
    return {"images_per_second": len(dataset) / seconds, "images": len(dataset)}


def one_by_one(bench, mode):
    """The twin, one image after the other, and cirtorch's own extraction of the same files."""
    transform = T.Compose([T.ToTensor(), _NORMALIZE])
    files = bench.files[: max(1, len(bench.files) // 4)]
    network = bench.descriptor_network().model
    power = float(network.pool.p.item())

    class OnDevice:
        meta = network.meta

        def __call__(self, x):
            return network(x.to(bench.device)).cpu()

    workers = min(8, usable_cores()) if bench.is_cuda else 0
    found = {}

    def plain(files):
        found["plain"] = slow_retrieval.extract(
            OnDevice(), files, bench.sizes.pixels, transform, SCALES, power, workers
        )

    def ours(files):
        found["ours"] = extract_vectors(
            network, files, bench.sizes.pixels, transform, ms=SCALES, msp=power, print_freq=10**9
        )

    with tensor_cores(mode != "float32"):
        times = {}
        for side, function in (("plain", plain), ("ours", ours)):
            function(files[:8])
            times[side] = seconds_of(lambda run=function: run(files), bench.device)
    difference = float((found["plain"] - found["ours"]).abs().max())
    return {
        "images_per_second": len(files) / times["ours"],
        "twin_images_per_second": len(files) / times["plain"],
        "ratio": times["plain"] / times["ours"],
        "difference": difference,
        "images": len(files),
    }


def translation(bench, name, batch, mode):
    """A training step of a generator beside the published one."""
    sizes = bench.sizes
    shape = (batch, 3, sizes.translated, sizes.translated)
    generator = torch.Generator().manual_seed(0)
    images = [(torch.rand(shape, generator=generator) * 2 - 1).to(bench.device) for _ in range(2)]
    with computing(mode) as runtime:
        eager = Runtime(precision=runtime.precision)
        ours, published = (
            generators.make_method(name, filters=sizes.filters, device=bench.device, runtime=one)
            for one in (runtime, eager)
        )
        for optimizer in published.optimizer.optimizers.values():
            # It judges by networks that it has stepped: not by casts from before.
            optimizer.register_step_post_hook(lambda *_: torch.clear_autocast_cache())

        def run(step, method):
            with eager.autocast(bench.device):
                return step(images) if method is None else step(method, images)

        sides = {
            "ours": lambda: run(ours.step, None),
            "published": lambda: run(STEPS[name], published),
        }
        first = {}
        began = time.perf_counter()
        first["ours"] = sides["ours"]()
        synchronize(bench.device)
        first_seconds = time.perf_counter() - began
        first["published"] = sides["published"]()
        losses = {side: {k: float(v) for k, v in values.items()} for side, values in first.items()}
        difference = max(
            abs(losses["ours"][key] - value) / max(1, abs(value))
            for key, value in losses["published"].items()
        )
        for _ in range(_WARM_UP):
            for step in sides.values():
                step()
        memory = {side: peak_memory(step, bench) for side, step in sides.items()}
        times = {side: [] for side in sides}
        begin = time.perf_counter()
        while not times["ours"] or (
            time.perf_counter() - begin < sizes.seconds and len(times["ours"]) < sizes.most
        ):
            for side, step in sides.items():
                times[side].append(seconds_of(step, bench.device))
        seconds = {side: statistics.median(values) for side, values in times.items()}
        flops = None if mode == "compiled" else flops_of(sides["ours"])
    return {
        "first_seconds": first_seconds,
        "milliseconds": 1000 * seconds["ours"],
        "twin_milliseconds": 1000 * seconds["published"],
        "ratio": seconds["published"] / seconds["ours"],
        "roofline": None if flops is None else bench.share(mode, flops, seconds["ours"]),
        "difference": None if name == "cut" else difference,  # each side draws its own patches
        "peak_mib": memory["ours"],
        "twin_peak_mib": memory["published"],
    }


def mining(bench):
    """Hard negatives beside the twin on the same device, and beside ours on the CPU."""
    queries, pool, dimensions = bench.sizes.mined
    rng = np.random.RandomState(0)
    vecs = [torch.from_numpy(unit(rng, dimensions, n)) for n in (queries, pool)]
    clusters = [rng.randint(0, max(20, pool // 20), n).tolist() for n in (queries, pool)]
    there = [one.to(bench.device) for one in vecs]
    with tensor_cores(False):
        mine_hard_negatives(*there, *clusters, 5)
        found = {}
        memory = peak_memory(
            lambda: found.update(ours=mine_hard_negatives(*there, *clusters, 5)[0]), bench
        )
        seconds = median(lambda: mine_hard_negatives(*there, *clusters, 5), bench)
        twin = seconds_of(
            lambda: found.update(twin=slow_retrieval.mine(*there, *clusters, 5)), bench.device
        )
        cpu = seconds_of(
            lambda: found.update(cpu=mine_hard_negatives(*vecs, *clusters, 5)[0]), "cpu"
        )
    flops = 2 * queries * pool * dimensions
    return {
        "milliseconds": 1000 * seconds,
        "twin_milliseconds": 1000 * twin,
        "ratio": twin / seconds,
        "cpu_milliseconds": 1000 * cpu,
        "roofline": bench.share("float32", flops, seconds),
        "difference": int((found["ours"] != found["twin"]).sum()),
        "differs_from_cpu": int((found["ours"] != found["cpu"]).sum()),
        "peak_mib": memory,
    }


def spcl_step(bench, mode):
    """A UDA step of SpCL: images of both domains, memory and its update included."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, max(2, bench.sizes.clustered // 31), bench.sizes.clustered)
    with computing(mode) as runtime:
        step = reid.uda_step(bench.device, bench.sizes.learned, labels, runtime)
        first = seconds_of(step, bench.device)
        for _ in range(_WARM_UP):
            step()
        memory = peak_memory(step, bench)
        seconds = median(step, bench)
        flops = None if mode == "compiled" else flops_of(step)
        return {
            "first_seconds": first,
            "milliseconds": 1000 * seconds,
            "roofline": None if flops is None else bench.share(mode, flops, seconds),
            "loss": float(step()),
            "peak_mib": memory,
        }


def clustering(bench, with_twin):
    """Labels of an epoch (Jaccard distances, DBSCANs): on the device, on the CPU, or the twin's."""
    rows, _ = reid.identities(bench.sizes.clustered, 2.0, 256 if with_twin else reid.WIDTH)
    found = {}

    def ours():
        found["ours"] = reid.our_labels(rows, bench.device)

    def other():
        if with_twin:
            found["other"] = slow_reid.self_paced(slow_reid.jaccard(rows, 30, 6), 0.6, 0.02)[0]
        else:
            found["other"] = reid.our_labels(rows)

    reid.our_labels(rows[: min(len(rows), 2000)], bench.device)
    seconds = []
    memory = peak_memory(lambda: seconds.append(seconds_of(ours, bench.device)), bench)
    name = "twin_milliseconds" if with_twin else "cpu_milliseconds"
    others = seconds_of(other, "cpu")
    ratio = {"ratio": others / seconds[0]} if with_twin else {}
    return {
        "milliseconds": 1000 * seconds[0],
        name: 1000 * others,
        **ratio,
        "difference": int((found["ours"] != found["other"]).sum()),
        "peak_mib": memory,
    }


def exchange(bench):
    """Sums of gradients over one process, through the exchange of several (NCCL on a card)."""
    network = bench.descriptor_network()
    gradients = [torch.rand_like(one) for one in network.parameters()]
    backend = "nccl" if bench.is_cuda else "gloo"
    store = dist.HashStore()
    dist.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        # One process exchanges nothing: it is told of another, which the group does not have.
        with patch.object(distributed, "size", return_value=2):
            summed = distributed.sum_all(gradients)
            difference = max(
                float((a - b).abs().max()) for a, b in zip(summed, gradients, strict=True)
            )
            copies = [one.clone() for one in gradients]
            distributed.copy_from_first(copies)
            seconds = median(lambda: distributed.sum_all(gradients), bench)
            memory = peak_memory(lambda: distributed.sum_all(gradients), bench)
    finally:
        dist.destroy_process_group()
    size = sum(one.nbytes for one in gradients)
    return {
        "backend": backend,
        "milliseconds": 1000 * seconds,
        "mib": size / 2**20,
        "difference": difference,
        "peak_mib": memory,
    }


@dataclass(frozen=True)
class Case:
    """``seconds``: what it takes at most on an H100, its warm-up included."""

    name: str
    function: object
    seconds: float
    arguments: tuple = ()


def cases(sizes: Sizes) -> list[Case]:
    """All cases, what matters most and costs least first."""
    small, large = sizes.batches
    made = [
        Case("roofline", roofline, 10),
        Case("exchange of gradients", exchange, 15),
        Case("mining", mining, 20),
        Case("goldens float32", goldens, 60, (False,)),
    ]
    for mode in ("float32", "tf32", "bf16"):
        made.append(Case(f"SpCL step, {mode}", spcl_step, 12, (mode,)))
    for batch in (small, large):
        for name in ("cyclegan", "cut", "hedngan"):
            for mode in ("float32", "tf32", "bf16"):
                label = f"{name}, {sizes.translated} px, batch {batch}, {mode}"
                made.append(Case(label, translation, 12, (name, batch, mode)))
    for mode in ("float32", "tf32", "bf16", "bf16 channels-last"):
        made.append(Case(f"descriptors, network, {mode}", network_of_descriptors, 12, (mode,)))
    made.append(Case("descriptors, loader alone", loading, 15))
    for mode in ("tf32", "bf16"):
        made.append(Case(f"descriptors, files, {mode}", door, 20, (mode,)))
    made.append(Case("descriptors, one by one, tf32", one_by_one, 25, ("tf32",)))
    made.append(Case("clustering", clustering, 30, (False,)))
    made.append(Case("goldens tf32", goldens, 30, (True,)))
    made.append(Case("descriptors, network, compiled", network_of_descriptors, 90, ("compiled",)))
    made.append(Case(
        f"cyclegan, {sizes.translated} px, batch {large}, compiled", translation, 90,
        ("cyclegan", large, "compiled"),
    ))  # fmt: skip
    made.append(Case("clustering, twin", clustering, 80, (True,)))
    return made
