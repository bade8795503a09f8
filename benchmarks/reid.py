"""Clustering and scoring of re-identification beside their dense twins, results compared.

    python3 -m benchmarks.reid [NAME ...] [--scale 0.1]

Names: clustering (Jaccard distances and three DBSCANs), growth (the same without the twin, at four
sizes), memory (its rows follow a batch), evaluation, step (one of a UDA training, and an epoch's
labels, on the GPU if there is one, of a tenth of the images on a CPU). ``--scale`` multiplies the
numbers of images.
"""

import sys
import time

import numpy as np
import torch

from benchmarks import running
from benchmarks import slow_reid as slow
from benchmarks.measuring import PeakMemory, Work, compare, figures, flops_of, seconds_of
from benchmarks.running import Case
from mdir import registry
from mdir.clustering.centroids import class_means
from mdir.clustering.jaccard import jaccard_distance
from mdir.clustering.reciprocal import nearest_neighbours
from mdir.clustering.self_paced import self_paced_labels
from mdir.learning.compute import Runtime, default_device
from mdir.losses.hybrid_memory import HybridMemoryLoss
from mdir.losses.row_memory import refresh
from mdir.networks.single import SingleNetwork
from mdir.scores.measures.cmc import distance_blocks, reid_scores

_K1, _K2, _EPS, _GAP = 30, 6, 0.6, 0.02
_SPREAD = 2.0  # some identities fall apart, some images lie between
WIDTH = 2048  # of what ResNet-50 gives
_SIZES = (4_000, 8_000, 16_000, 32_621)
_BATCHES = (64, 64), (256, 16)  # images and clusters: of SpCL's target, of Cluster Contrast
_SOURCE, _TARGET, _BATCH, _STEPS = 751, 32_621, 64, 3  # Market-1501's identities, MSMT17's images


def identities(count, spread, dimensions=256):
    """Unit rows float32 ``[count, dimensions]`` about one centre an identity; the identities."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((max(2, count // 31), dimensions), dtype=np.float32)
    ids = rng.integers(0, len(centres), count)
    rows = centres[ids] + np.float32(spread) * rng.standard_normal(
        (count, dimensions), dtype=np.float32
    )
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), ids


def our_labels(rows, device="cpu"):
    """Labels of the first epoch; neighbours are searched on a device."""
    distances = jaccard_distance(rows, _K1, _K2, max_distance=_EPS + _GAP, device=device)
    return self_paced_labels(distances, _EPS, _GAP).labels


def clustering(bench):
    """Self-paced labels of 4,000 images."""
    rows, _ = identities(int(4000 * bench.scale), _SPREAD)
    return compare(
        bench,
        f"{len(rows)} images",
        lambda: slow.self_paced(slow.jaccard(rows, _K1, _K2), _EPS, _GAP)[0],
        lambda: our_labels(rows),
        lambda a, b: (a != b).sum(),
        all_pairs(rows),
    )


def all_pairs(rows):
    """The least work to look each row up among all."""
    return Work(len(rows) * rows.size, rows.nbytes)


def growth(bench, images):
    """Time and memory of ours alone, the search apart from the rest."""
    rows, _ = identities(int(images * bench.scale), _SPREAD)
    _, search = seconds(nearest_neighbours, rows, _K1)
    with PeakMemory() as peak:
        wall, cpu = seconds(our_labels, rows)
    told = figures(bench, f"{len(rows)} images", [wall], all_pairs(rows))
    return {
        **told,
        "cpu_seconds": cpu,
        "search_cpu_seconds": search,
        "peak_mib": peak() / 2**20,
    }


def seconds(function, *arguments):
    """By the wall and of the CPU."""
    start = time.perf_counter(), time.process_time()
    function(*arguments)
    return time.perf_counter() - start[0], time.process_time() - start[1]


def memory(bench, batch, clusters):
    """A batch's images move the rows of its clusters, as often as each occurs."""
    rows, _ = identities(clusters, _SPREAD, WIDTH)
    plain, ours = torch.from_numpy(rows), torch.from_numpy(rows.copy())
    images = torch.from_numpy(identities(batch, _SPREAD, WIDTH)[0])
    places = torch.arange(clusters).repeat_interleave(batch // clusters)

    def ours_once():
        refresh(ours, places, images, 0.1)
        return ours

    return compare(
        bench,
        f"{batch} images of {clusters} clusters",
        lambda: slow.refresh(plain, places, images, 0.1),
        ours_once,
        lambda a, b: (a - b).abs().max(),
        Work(nbytes=images.nbytes + 2 * rows.nbytes),
    )


def evaluation(bench):
    """Scores of 400 queries in a gallery of 20,000."""
    rows, ids = identities(int(20_400 * bench.scale), _SPREAD)
    cameras = np.random.default_rng(1).integers(0, 6, len(rows))
    count = max(1, len(rows) // 51)
    rows = torch.from_numpy(rows)
    query, gallery = (ids[:count], cameras[:count]), (ids[count:], cameras[count:])

    def plain():
        found = np.concatenate(list(distance_blocks(rows[:count], rows[count:])))
        return np.hstack(slow.scores(found, query, gallery))

    def ours():
        found = reid_scores(distance_blocks(rows[:count], rows[count:]), query, gallery)
        return np.hstack([found.mean_ap, found.cmc, found.mean_inp])

    return compare(
        bench,
        f"{count} queries, gallery of {len(rows) - count}",
        plain,
        ours,
        lambda a, b: np.abs(a - b).max(),
        Work(2 * count * rows[count:].numel(), rows.nbytes),
    )


def step(bench):
    """A UDA step of ResNet-50 at 256 x 128, 64 images of each domain, and an epoch's labels."""
    device = default_device()
    on_cpu = torch.device(device).type == "cpu"
    scale = bench.scale / 10 if on_cpu else bench.scale
    batch, target = max(2, int(_BATCH * scale)), max(200, int(_TARGET * scale))
    rows, _ = identities(target, _SPREAD, WIDTH)
    found = {}
    labelling = seconds_of(lambda: found.update(labels=our_labels(rows, device)), device)
    one = uda_step(device, batch, found["labels"])
    operations = flops_of(one)  # warms up
    times = [seconds_of(one, device) for _ in range(_STEPS)]
    words = f"{batch} + {batch} images, {target} remembered, {torch.device(device).type}"
    told = figures(bench, words, times, Work(operations) if on_cpu else None)
    return {**told, "labels_milliseconds": 1000 * labelling}


def uda_step(device, batch, labels, runtime=None):
    """A function that takes one UDA step, ``batch`` images of each domain at 256 x 128.

    Args:
        labels: int64 ``[N]``, of the images of the target domain.
        runtime: a :class:`mdir.learning.compute.Runtime`.
    """
    runtime = runtime or Runtime()
    section = {"architecture": "reid_resnet", "domains": 2, "pretrained": False}
    network = SingleNetwork(registry.build("architecture", section), {"runtime": {}}, device=device)
    runtime.prepare(network.train())
    optimizer = torch.optim.Adam([one for one in network.parameters() if one.requires_grad])
    rows, ids = identities(len(labels), _SPREAD, WIDTH)
    centroids = class_means(rows, ids % _SOURCE)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    source, memory = len(centroids), HybridMemoryLoss().to(device)
    memory.start(
        torch.from_numpy(np.concatenate([centroids, rows])),
        torch.cat([torch.arange(source), source + torch.from_numpy(labels)]),
    )
    runtime.keep_float32(memory, device)
    images = torch.rand(2 * batch, 3, 256, 128, device=device)
    places = [torch.randint(low, high, (batch,), device=device)
              for low, high in ((0, source), (source, source + len(labels)))]  # fmt: skip

    def one():
        with runtime.autocast(device):
            outputs = network(images).T.float().chunk(2)
            loss = sum(memory(x, at) for x, at in zip(outputs, places, strict=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            for x, at in zip(outputs, places, strict=True):
                memory.enqueue(x.detach(), at)
        return loss

    return one


def cases():
    """All of them."""
    grown = [Case(f"reid.growth.{size}", growth, None, (size,)) for size in _SIZES]
    moved = [Case(f"reid.memory.{b}", memory, None, (b, clusters)) for b, clusters in _BATCHES]
    functions = {"clustering": clustering, "evaluation": evaluation, "step": step}
    return [*(Case(f"reid.{name}", one) for name, one in functions.items()), *moved, *grown]


def main(arguments=None):
    """Run the cases that are named; returns the results."""
    parser = running.command_line("benchmarks.reid", __doc__)
    return running.main(parser, parser.parse_args(arguments), cases(), "reid")


if __name__ == "__main__":
    sys.exit(running.exit_code(main()))
