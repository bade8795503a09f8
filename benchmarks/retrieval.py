"""Speed of the retrieval library beside its plain twin, in one run, with the results compared.

    python3 -m benchmarks.retrieval [NAME ...] [--scale 0.1]

Names: extraction, mining, anchors, map, whitening, search, search-faiss, expansion, superglobal.
``--scale`` multiplies the numbers of images, ``--distractors`` sets the database of ``map`` (a
memory-mapped file).
"""

import os
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torchvision.transforms as T
from PIL import Image

from benchmarks import running
from benchmarks import slow_retrieval as slow
from benchmarks.measuring import PeakMemory, Work, compare, flops_of
from benchmarks.running import Case
from cirtorch.datasets.mining import diverse_anchors, mine_hard_negatives
from cirtorch.networks.imageretrievalnet import extract_vectors, init_network
from cirtorch.search.exact import Search
from cirtorch.search.ranking import count_ranks
from cirtorch.utils.evaluate import compute_map
from cirtorch.utils.whiten import whitenlearn
from mdir.scores.measures.expansion import augment_database
from mdir.scores.measures.superglobal import superglobal

_NORMALIZE = T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def unit(rng, *shape):
    """Random unit columns, float32."""
    vecs = rng.standard_normal(shape).astype(np.float32)
    return vecs / np.linalg.norm(vecs, axis=0)


def extraction(bench, architecture="resnet50", ms=(1, 2**-0.5, 0.5)):
    """JPEG files of four sizes to multi-scale descriptors."""
    transform = T.Compose([T.ToTensor(), _NORMALIZE])
    torch.manual_seed(0)
    net = init_network({"architecture": architecture, "pretrained": False}).eval()
    workers, on_gpu = min(8, os.cpu_count()), torch.cuda.is_available()

    def plain():
        one_by_one = _OnGpu(net.cuda()) if on_gpu else net
        return slow.extract(one_by_one, images, 224, transform, ms, 3.0, workers)

    def ours():
        return extract_vectors(net, images, 224, transform, ms=ms, msp=3.0, print_freq=10**9)

    with tempfile.TemporaryDirectory() as folder:
        images = _draw(Path(folder), max(4, int(48 * bench.scale)))
        size = f"{len(images)} images, {architecture}, {len(ms)} scales"
        work = None if on_gpu else Work(flops_of(ours))  # peaks are those of the CPU
        return compare(
            bench, f"{size}, GPU" if on_gpu else size, plain, ours,
            lambda a, b: (a - b).abs().max(), work,
        )  # fmt: skip


def _draw(folder, count):
    """Paths of JPEG files."""
    rng, paths = np.random.RandomState(0), []
    for i in range(count):
        size = [(640, 480), (480, 640), (800, 600), (640, 427)][i % 4]
        pixels = Image.fromarray(rng.randint(0, 256, (12, 12, 3), dtype=np.uint8)).resize(size)
        paths.append(str(folder / f"{i}.jpg"))
        pixels.save(paths[-1])
    return paths


class _OnGpu:
    """A network that takes and gives tensors of the CPU, as the published loop uses it."""

    def __init__(self, net):
        self.net, self.meta = net, net.meta

    def __call__(self, x):
        return self.net(x.cuda()).cpu()


def mining(bench):
    """Hard negatives of an epoch."""
    rng = np.random.RandomState(0)
    queries, pool = int(1000 * bench.scale), int(20000 * bench.scale)
    qvecs, pvecs = (torch.from_numpy(unit(rng, 128, n)) for n in (queries, pool))
    clusters = [rng.randint(0, max(20, pool // 20), n).tolist() for n in (queries, pool)]
    return compare(
        bench,
        f"{queries} queries, pool of {pool}",
        lambda: slow.mine(qvecs, pvecs, *clusters, 5),
        lambda: mine_hard_negatives(qvecs, pvecs, *clusters, 5)[0],
        lambda a, b: (a != b).sum(),
        Work(2 * queries * pool * 128, qvecs.nbytes + pvecs.nbytes),
    )


def anchors(bench):
    """Diverse anchors of an epoch."""
    vecs = torch.from_numpy(unit(np.random.RandomState(0), 128, int(3000 * bench.scale)))
    size = int(600 * bench.scale)

    def seeded(function):
        torch.manual_seed(0)
        return np.array(function())

    return compare(
        bench,
        f"{size} of {vecs.shape[1]}",
        lambda: seeded(lambda: slow.anchors(vecs, size, 0.2, 0.8)),
        lambda: seeded(lambda: diverse_anchors(vecs, size, 0.2, 0.8)[0]),
        lambda a, b: (a != b).sum(),
        Work(2 * size * vecs.numel(), vecs.nbytes),
    )


def mean_average_precision(bench, distractors=None):
    """Mean average precision of 70 queries, descriptors in a memory-mapped file."""
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.RandomState(0)
        count = distractors or int(100_000 * bench.scale)
        path = Path(folder, "rows.npy")
        rows = np.lib.format.open_memmap(path, "w+", np.float32, (count, 64))
        for start in range(0, count, 1 << 16):
            part = rows[start : start + (1 << 16)]
            part[:] = unit(rng, 64, len(part)).T
        qvecs = unit(rng, 64, 70)
        near = min(count, 5000)
        named = [rng.permutation(near)[: min(near, 80)] for _ in range(70)]
        gnd = [{"ok": ids[:60], "junk": ids[60:]} for ids in named]

        def ours():
            return compute_map(count_ranks(rows, qvecs, gnd), gnd)[0]

        with PeakMemory() as peak:
            ours()
        found = compare(
            bench,
            f"database of {count}, 70 queries",
            lambda: slow.mean_average_precision(rows.T, qvecs, gnd),
            ours,
            lambda a, b: abs(a - b),
            Work(2 * 70 * rows.size, rows.nbytes),
        )
    return {**found, "peak_mib": peak() / 2**20}


def whitening(bench):
    """Whitening learned from pairs."""
    rng = np.random.RandomState(0)
    dim, count = max(16, int(512 * bench.scale)), int(20_000 * bench.scale)
    X = rng.standard_normal((dim, count))
    qidxs, pidxs = rng.randint(0, count, (2, count))

    def distance(a, b):
        signs = np.sign((a[1].real * b[1]).sum(axis=1, keepdims=True))
        return np.abs(a[1].real - signs * b[1]).max() / np.abs(b[1]).max()

    return compare(
        bench,
        f"{count} descriptors of {dim} dimensions",
        lambda: slow.whiten(X, qidxs, pidxs),
        lambda: whitenlearn(X, qidxs, pidxs),
        distance,
        Work(2 * dim**2 * count, X.nbytes, "float64"),  # two matrices of second moments
    )


def search(bench, engine):
    """The 100 best of a database for 70 queries."""
    rng = np.random.RandomState(0)
    count = int(100_000 * bench.scale)
    database, queries = unit(rng, 128, count).T.copy(), unit(rng, 128, 70).T.copy()
    index = Search(database, engine)
    return compare(
        bench,
        f"database of {count}, 70 queries",
        lambda: slow.search(database, queries, 100),
        lambda: index.search(queries, 100)[1],
        lambda a, b: (a != b).sum(),
        Work(2 * 70 * database.size, database.nbytes),
    )


def expansion(bench):
    """Each descriptor of a database augmented by its 10 nearest ones."""
    rng = np.random.RandomState(0)
    count = int(10_000 * bench.scale)
    database = unit(rng, 128, count).T.copy()
    return compare(
        bench,
        f"database of {count}, 10 neighbours",
        lambda: slow.augment(database, 10, 3),
        lambda: augment_database(database, 10, 3).numpy(),
        lambda a, b: np.abs(a - b).max(),
        Work(count * database.size, 2 * database.nbytes),
    )


def refinement(bench):
    """SuperGlobal's order of the first 400 images of 10 queries."""
    rng = np.random.RandomState(0)
    count = max(2, int(400 * bench.scale))
    rows, queries = unit(rng, 2048, count).T.copy(), unit(rng, 2048, 10).T.copy()
    return compare(
        bench,
        f"10 queries, {count} images each",
        lambda: [slow.superglobal(query, rows, 9, 0.15) for query in queries],
        lambda: [
            superglobal(query, torch.from_numpy(rows)).order.tolist()
            for query in torch.from_numpy(queries)
        ],
        lambda a, b: (np.array(a) != np.array(b)).sum(),
        Work(10 * count * rows.size, rows.nbytes),
    )


def cases(distractors=None):
    """All of them."""
    functions = {
        "extraction": extraction,
        "mining": mining,
        "anchors": anchors,
        "map": partial(mean_average_precision, distractors=distractors),
        "whitening": whitening,
        "search": partial(search, engine="exact"),
        "search-faiss": partial(search, engine="faiss"),
        "expansion": expansion,
        "superglobal": refinement,
    }
    return [Case(f"retrieval.{name}", function) for name, function in functions.items()]


def main(arguments=None):
    """Run the cases that are named; returns the results."""
    parser = running.command_line("benchmarks.retrieval", __doc__)
    parser.add_argument("--distractors", type=int, help="database of map")
    options = parser.parse_args(arguments)
    return running.main(parser, options, cases(options.distractors), "retrieval")


if __name__ == "__main__":
    sys.exit(running.exit_code(main()))
