"""Speed of the retrieval library beside its plain twin, in one run, with the results compared.

    python3 -m benchmarks.retrieval [PART ...] [--scale 0.1]

Parts: extraction, mining, anchors, map, whitening, search, expansion, superglobal. ``--scale``
multiplies the numbers of images, ``--distractors`` sets the database of ``map`` (a memory-mapped
file).
"""

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
import torchvision.transforms as T
from PIL import Image

from benchmarks import slow_retrieval as slow
from cirtorch.datasets.mining import diverse_anchors, mine_hard_negatives
from cirtorch.networks.imageretrievalnet import extract_vectors, init_network
from cirtorch.search.exact import Search
from cirtorch.search.ranking import count_ranks
from cirtorch.utils.evaluate import compute_map
from cirtorch.utils.whiten import whitenlearn
from mdir.scores.measures.expansion import augment_database
from mdir.scores.measures.superglobal import superglobal

_REPEATS = 2
_NORMALIZE = T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def compare(name, plain, ours, difference):
    """Run both in turn; report the ratio of the best times and how far the results differ."""
    times = {plain: [], ours: []}
    results = {}
    for _ in range(_REPEATS):
        for function in (plain, ours):
            start = time.perf_counter()
            results[function] = function()
            times[function].append(time.perf_counter() - start)
    ratio = min(times[plain]) / min(times[ours])
    return name, ratio, float(difference(results[plain], results[ours]))


def unit(rng, *shape):
    """Random unit columns, float32."""
    vecs = rng.standard_normal(shape).astype(np.float32)
    return vecs / np.linalg.norm(vecs, axis=0)


def extraction(scale, folder, architecture="resnet50", ms=(1, 2**-0.5, 0.5)):
    """JPEG files of four sizes to multi-scale descriptors."""
    rng = np.random.RandomState(0)
    images = []
    for i in range(max(4, int(48 * scale))):
        size = [(640, 480), (480, 640), (800, 600), (640, 427)][i % 4]
        pixels = Image.fromarray(rng.randint(0, 256, (12, 12, 3), dtype=np.uint8)).resize(size)
        images.append(str(folder / f"{i}.jpg"))
        pixels.save(images[-1])
    transform = T.Compose([T.ToTensor(), _NORMALIZE])
    torch.manual_seed(0)
    net = init_network({"architecture": architecture, "pretrained": False}).eval()
    workers = min(8, os.cpu_count())
    device = "GPU" if torch.cuda.is_available() else "CPU"

    def plain():
        one_by_one = _OnGpu(net.cuda()) if device == "GPU" else net
        return slow.extract(one_by_one, images, 224, transform, ms, 3.0, workers)

    def ours():
        return extract_vectors(net, images, 224, transform, ms=ms, msp=3.0, print_freq=10**9)

    name = f"extraction, {len(images)} images, {architecture}, {len(ms)} scales, {device}"
    return compare(name, plain, ours, lambda a, b: (a - b).abs().max())


class _OnGpu:
    """A network that takes and gives tensors of the CPU, as the published loop uses it."""

    def __init__(self, net):
        self.net, self.meta = net, net.meta

    def __call__(self, x):
        return self.net(x.cuda()).cpu()


def mining(scale, folder):
    """Hard negatives of an epoch."""
    rng = np.random.RandomState(0)
    queries, pool = int(1000 * scale), int(20000 * scale)
    qvecs, pvecs = (torch.from_numpy(unit(rng, 128, n)) for n in (queries, pool))
    clusters = [rng.randint(0, max(20, pool // 20), n).tolist() for n in (queries, pool)]
    return compare(
        f"mining, {queries} queries, pool of {pool}",
        lambda: slow.mine(qvecs, pvecs, *clusters, 5),
        lambda: mine_hard_negatives(qvecs, pvecs, *clusters, 5)[0],
        lambda a, b: (a != b).sum(),
    )


def anchors(scale, folder):
    """Diverse anchors of an epoch."""
    vecs = torch.from_numpy(unit(np.random.RandomState(0), 128, int(3000 * scale)))
    size = int(600 * scale)

    def seeded(function):
        torch.manual_seed(0)
        return np.array(function())

    return compare(
        f"anchors, {size} of {vecs.shape[1]}",
        lambda: seeded(lambda: slow.anchors(vecs, size, 0.2, 0.8)),
        lambda: seeded(lambda: diverse_anchors(vecs, size, 0.2, 0.8)[0]),
        lambda a, b: (a != b).sum(),
    )


def mean_average_precision(scale, folder, distractors=None):
    """Mean average precision of 70 queries, descriptors in a memory-mapped file."""
    rng = np.random.RandomState(0)
    count = distractors or int(100_000 * scale)
    rows = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.float32, (count, 64))
    for start in range(0, count, 1 << 16):
        part = rows[start : start + (1 << 16)]
        part[:] = unit(rng, 64, len(part)).T
    qvecs = unit(rng, 64, 70)
    near = min(count, 5000)
    named = [rng.permutation(near)[: min(near, 80)] for _ in range(70)]
    gnd = [{"ok": ids[:60], "junk": ids[60:]} for ids in named]
    with PeakMemory() as peak:
        start = time.perf_counter()
        compute_map(count_ranks(rows, qvecs, gnd), gnd)
        seconds = time.perf_counter() - start
    print(f"mAP of {count} x 70: {seconds:.1f} s, {peak() / 2**20:.0f} MiB more memory at most")
    return compare(
        f"mAP, database of {count}, 70 queries",
        lambda: slow.mean_average_precision(rows.T, qvecs, gnd),
        lambda: compute_map(count_ranks(rows, qvecs, gnd), gnd)[0],
        lambda a, b: abs(a - b),
    )


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


def whitening(scale, folder):
    """Whitening learned from pairs."""
    rng = np.random.RandomState(0)
    dim, count = max(16, int(512 * scale)), int(20_000 * scale)
    X = rng.standard_normal((dim, count))
    qidxs, pidxs = rng.randint(0, count, (2, count))

    def distance(a, b):
        signs = np.sign((a[1].real * b[1]).sum(axis=1, keepdims=True))
        return np.abs(a[1].real - signs * b[1]).max() / np.abs(b[1]).max()

    return compare(
        f"whitening, {count} descriptors of {dim} dimensions",
        lambda: slow.whiten(X, qidxs, pidxs),
        lambda: whitenlearn(X, qidxs, pidxs),
        distance,
    )


def search(scale, folder, engine="exact"):
    """The 100 best of a database for 70 queries."""
    rng = np.random.RandomState(0)
    count = int(100_000 * scale)
    database, queries = unit(rng, 128, count).T.copy(), unit(rng, 128, 70).T.copy()
    index = Search(database, engine)
    return compare(
        f"search ({engine}), database of {count}, 70 queries",
        lambda: slow.search(database, queries, 100),
        lambda: index.search(queries, 100)[1],
        lambda a, b: (a != b).sum(),
    )


def expansion(scale, folder):
    """Each descriptor of a database augmented by its 10 nearest ones."""
    rng = np.random.RandomState(0)
    count = int(10_000 * scale)
    database = unit(rng, 128, count).T.copy()
    return compare(
        f"expansion, database of {count}, 10 neighbours",
        lambda: slow.augment(database, 10, 3),
        lambda: augment_database(database, 10, 3).numpy(),
        lambda a, b: np.abs(a - b).max(),
    )


def refinement(scale, folder):
    """SuperGlobal's order of the first 400 images of 10 queries."""
    rng = np.random.RandomState(0)
    count = max(2, int(400 * scale))
    rows, queries = unit(rng, 2048, count).T.copy(), unit(rng, 2048, 10).T.copy()
    return compare(
        f"superglobal, 10 queries, {count} images each",
        lambda: [slow.superglobal(query, rows, 9, 0.15) for query in queries],
        lambda: [
            superglobal(query, torch.from_numpy(rows)).order.tolist()
            for query in torch.from_numpy(queries)
        ],
        lambda a, b: (np.array(a) != np.array(b)).sum(),
    )


PARTS = {
    "extraction": extraction,
    "mining": mining,
    "anchors": anchors,
    "map": mean_average_precision,
    "whitening": whitening,
    "search": search,
    "expansion": expansion,
    "superglobal": refinement,
    "search-faiss": lambda scale, folder: search(scale, folder, "faiss"),
}


def main(arguments=None):
    """Run the parts and print a line each; returns ``[(name, ratio, difference)]``."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.retrieval", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; default: all"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="factor of all sizes")
    parser.add_argument("--distractors", type=int, help="database of map")
    args = parser.parse_args(arguments)
    results = []
    for part in args.parts or PARTS:
        options = {"distractors": args.distractors} if part == "map" else {}
        with tempfile.TemporaryDirectory() as folder:
            results.append(PARTS[part](args.scale, Path(folder), **options))
        name, ratio, difference = results[-1]
        print(f"{name}: {ratio:.2f} times as fast, results differ by {difference:.1e}", flush=True)
    return results


if __name__ == "__main__":
    main()
