"""The cases of :mod:`benchmarks.gpu`: each gives its figures as a mapping."""

import itertools
import statistics
import time
from unittest.mock import patch

import numpy as np
import torch
import torch.distributed as dist

from benchmarks import generators, reid, slow_reid, slow_retrieval
from benchmarks.gpu_bench import WARM_UP, Sizes, computing, median, peak_memory
from benchmarks.gpu_descriptors import cirtorch_files, door, loading, network_of_descriptors
from benchmarks.measuring import (
    flops_of,
    measure_peaks,
    seconds_of,
    synchronize,
    tensor_cores,
)
from benchmarks.published_generators import STEPS
from benchmarks.retrieval import unit
from benchmarks.running import Case
from cirtorch.datasets.mining import mine_hard_negatives
from mdir import distributed
from mdir.learning.compute import Runtime


def roofline(bench):
    """The peaks of matrix products and of a copy."""
    modes = ("float32", "tf32", "bf16") if bench.is_cuda else ("float32", "bf16")
    return {"peaks": measure_peaks(modes, bench.sizes.side, bench.sizes.copied, bench.device)}


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


def translation(bench, name, batch, mode):
    """A training step of a generator beside the published one."""
    sizes = bench.sizes
    shape = (batch, 3, sizes.translated, sizes.translated)
    generator = torch.Generator().manual_seed(0)
    images = [(torch.rand(shape, generator=generator) * 2 - 1).to(bench.device) for _ in range(2)]
    with computing(mode) as runtime:
        eager = Runtime(precision=runtime.precision)
        options = {"filters": sizes.filters, "device": bench.device}
        ours = generators.make_method(name, **options, runtime=runtime)
        published = generators.published_method(name, **options, runtime=eager)
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
        difference = generators.difference_of_losses(**first)
        for _ in range(WARM_UP):
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
        for _ in range(WARM_UP):
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


def cases(sizes: Sizes) -> list[Case]:
    """All cases, what matters most and costs least first."""
    made = [
        Case("roofline", roofline, 10),
        Case("exchange of gradients", exchange, 15),
        Case("mining", mining, 20),
        Case("goldens float32", goldens, 60, (False,)),
    ]
    for mode in ("float32", "tf32", "bf16"):
        made.append(Case(f"SpCL step, {mode}", spcl_step, 12, (mode,)))
    made += translations(sizes, ("tf32", "bf16", "float32"), 10)
    for mode in ("float32", "tf32", "bf16", "bf16 channels-last"):
        made.append(Case(f"descriptors, network, {mode}", network_of_descriptors, 12, (mode,)))
    made.append(Case("descriptors, loader alone", loading, 15))
    for mode in ("tf32", "bf16"):
        made.append(Case(f"descriptors, files, {mode}", door, 20, (mode,)))
    made.append(Case("descriptors, cirtorch, tf32", cirtorch_files, 25, ("tf32",)))
    made.append(Case("clustering", clustering, 50, (False,)))
    made.append(Case("goldens tf32", goldens, 30, (True,)))
    made.append(Case("descriptors, network, compiled", network_of_descriptors, 75, ("compiled",)))
    made += translations(sizes, ("compiled",), 60)
    made.append(Case("clustering, twin", clustering, 60, (True,)))
    return made


def translations(sizes: Sizes, modes, seconds) -> list[Case]:
    """Training steps of the translators with every size of a batch, in some modes."""
    made = []
    for mode, batch in itertools.product(modes, sizes.batches):
        for name in ("cut", "hedngan", "cyclegan"):
            label = f"{name}, {sizes.translated} px, batch {batch}, {mode}"
            made.append(Case(label, translation, seconds, (name, batch, mode)))
    return made
