"""Descriptors in :mod:`benchmarks.gpu`: by the network alone, from files, beside a twin."""

import torch
import torchvision.transforms as T

from benchmarks import slow_retrieval
from benchmarks.gpu_bench import SCALES, WARM_UP, computing, median, peak_memory
from benchmarks.measuring import flops_of, seconds_of, tensor_cores
from cirtorch.datasets.genericdataset import ImagesFromList
from cirtorch.networks.imageretrievalnet import extract_vectors
from mdir.inference.batches import load_same_size
from mdir.inference.descriptors import extract_descriptors

TRANSFORM = T.Compose([T.ToTensor(), T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])


def images_of(bench):
    """The files as tensors."""
    return ImagesFromList("", bench.files, bench.sizes.pixels, transform=TRANSFORM)


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
        for _ in range(WARM_UP):
            describe()
        memory = peak_memory(describe, bench)
        seconds = median(describe, bench)
        with tensor_cores(False):
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
    dataset, loader = images_of(bench), {"num_workers": bench.workers}
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
    dataset, loader = images_of(bench), {"num_workers": bench.workers}
    seconds = seconds_of(
        lambda: sum(len(at) for at, _ in load_same_size(dataset, loader, bench.sizes.batch, "")),
        "cpu",
    )
    return {
        "images_per_second": len(dataset) / seconds,
        "images": len(dataset),
        "workers": bench.workers,
    }


def cirtorch_files(bench, mode):
    """Cirtorch's extraction of the files, and the twin, which takes one image after the other."""
    files = bench.files[: max(1, len(bench.files) // 4)]
    network = bench.descriptor_network().model
    power = float(network.pool.p.item())

    class OnDevice:
        meta = network.meta

        def __call__(self, x):
            return network(x.to(bench.device)).cpu()

    workers = min(8, bench.workers)
    found = {}

    def plain(files):
        found["plain"] = slow_retrieval.extract(
            OnDevice(), files, bench.sizes.pixels, TRANSFORM, SCALES, power, workers
        )

    def ours(files):
        found["ours"] = extract_vectors(
            network, files, bench.sizes.pixels, TRANSFORM, ms=SCALES, msp=power, print_freq=10**9
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
        "workers": workers,
    }
