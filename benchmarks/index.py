"""An index of many descriptors: exact, ivfpq and plain FAISS side by side, in one run.

    python3 -m benchmarks.index                        # 1,000,000 descriptors of 512 dimensions
    python3 -m benchmarks.index --rows 100000

Descriptors are drawn around centres in fewer dimensions, as those of images are, and lie in shards.
A million of them take 2.4 GB of disk below TMPDIR and some ten minutes on two cores.
"""

import multiprocessing
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import running
from benchmarks.measuring import PeakMemory, Work, figures
from benchmarks.running import Case
from cirtorch.search.index import Index, open_index
from cirtorch.search.quantize import quantize

K = 10
_SHARD = 50_000
_INNER, _PLACE = 64, 40  # dimensions that places differ in, images a place


def draw(folder, rows, dimensions, queries):
    """Write ``rows`` unit descriptors to ``.npy`` files below ``folder``; returns the queries."""
    rng = np.random.RandomState(0)
    mixing = rng.standard_normal((_INNER, dimensions)).astype(np.float32) / np.sqrt(_INNER)
    centres = rng.standard_normal((max(rows // _PLACE, 1), _INNER)).astype(np.float32)

    def some(count):
        inner = centres[rng.randint(0, len(centres), count)]
        inner = inner + 0.6 * rng.standard_normal(inner.shape).astype(np.float32)
        found = inner @ mixing + 0.2 * rng.standard_normal((count, dimensions)).astype(np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    for start in range(0, rows, _SHARD):
        np.save(folder / f"{start:09d}.npy", some(min(_SHARD, rows - start)))
    return some(queries)


def build(folder, engine, recall, network="drawn", preprocessing=()):
    """An index over the shards of a folder, in a folder of its own."""
    shards, first = sorted(folder.glob("*.npy")), 0
    dimensions = np.load(shards[0], mmap_mode="r").shape[1]
    origin = {"network": network, "preprocessing": dict(preprocessing)}
    index = Index.create(folder / engine, engine=engine, dimensions=dimensions, **origin)
    for path in shards:
        count = len(np.load(path, mmap_mode="r"))
        known = [{"path": f"{i}.jpg", "condition": "night" if i % 2 else "day"}
                 for i in range(first, first + count)]  # fmt: skip
        index.add_file(path, str(folder), known)
        first += count
    if engine == "ivfpq":
        quantize(index, recall, 64, tell=partial(print, flush=True))
    index.finish()
    index.close()


def ask(folder, queries, where=None):
    """Results of an index that is opened, and what opening and asking took."""
    start = time.perf_counter()
    index = open_index(folder)
    index.search(queries[:1], K, where)
    opened = time.perf_counter()
    ids, _ = index.search(queries, K, where)
    batch = time.perf_counter()
    for query in queries[:20]:
        index.search(query[None], K, where)
    single = (time.perf_counter() - batch) / min(len(queries), 20)
    index.close()
    return ids, len(queries) / (batch - opened), 1000 * single, opened - start


def ask_flat(folder, queries):
    """The same of FAISS with all descriptors in memory."""
    import faiss

    start = time.perf_counter()
    index = faiss.IndexFlatIP(queries.shape[1])
    for path in sorted(folder.glob("*.npy")):
        index.add(np.load(path))
    opened = time.perf_counter()
    _, ids = index.search(queries, K)
    batch = time.perf_counter()
    for query in queries[:20]:
        index.search(query[None], K)
    single = (time.perf_counter() - batch) / min(len(queries), 20)
    return ids, len(queries) / (batch - opened), 1000 * single, opened - start


def apart(function, *arguments):
    """A function's result from a process of its own, and the memory that it took at most, bytes."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measured, (function, arguments))


def _measured(function, arguments):
    with PeakMemory() as peak:
        result = function(*arguments)
    return result, peak()


def share_of(found, truth):
    """The part of the right ids that were found."""
    both = zip(found.tolist(), truth.tolist(), strict=True)
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in both]))


def size_of(folder):
    """Bytes of the files of a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def engines(bench, rows=1_000_000, dimensions=512, queries=200, recall=0.99):
    """Every engine, with half of the images filtered away too, beside FAISS in memory.

    Args:
        recall: that ``ivfpq`` is to reach.
    """
    count, told = max(K, int(rows * bench.scale)), {}
    size = f"{count} descriptors of {dimensions} dimensions, {queries} queries"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked = draw(folder, count, dimensions, queries)

        def searched(function, place, part=1.0, *where):
            (ids, rate, single, opened), memory = apart(function, place, asked, *where)
            # How much of the lists ivfpq has to look at depends on the data: no count.
            work = Work(2 * part * count * asked.size, 4 * part * count * dimensions)
            work = None if place.name == "ivfpq" else work
            figured = figures(bench, size, [len(asked) / rate], work)
            alone = {"single_milliseconds": single, "open_seconds": opened}
            return ids, {**figured, **alone, "peak_mib": memory / 2**20}

        flat, told["faiss flat"] = searched(ask_flat, folder)
        truths = {}
        for engine in ("exact", "ivfpq"):
            begin = time.perf_counter()
            _, peak = apart(build, folder, engine, recall)
            built = {"build_seconds": time.perf_counter() - begin, "build_mib": peak / 2**20}
            built["bytes"] = size_of(folder / engine)
            for label, part, *where in (("", 1.0), (", half", 0.5, {"condition": "day"})):
                ids, found = searched(ask, folder / engine, part, *where)
                truth = truths.setdefault(label, ids)
                told[engine + label] = {**found, **built, "recall": share_of(ids, truth)}
                _show(engine + label, told[engine + label])
            ours, twin = (told[name]["milliseconds"] for name in (engine, "faiss flat"))
            told[engine] |= {"twin_milliseconds": twin, "ratio": twin / ours}
        told["faiss flat"]["recall"] = share_of(flat, truths[""])
    return {"rows": told}


def _show(name, told):
    print(
        f"  {name}: built in {told['build_seconds']:.0f} s (+{told['build_mib']:.0f} MiB), "
        f"{told['bytes'] / 2**20:.0f} MiB beside the descriptors; opened in "
        f"{told['open_seconds']:.1f} s, {told['milliseconds']:.1f} ms for all queries, "
        f"{told['single_milliseconds']:.1f} ms for one alone, recall@{K} {told['recall']:.4f}",
        flush=True,
    )


def cases(**options):
    """One; options as of :func:`engines`."""
    return [Case("index", partial(engines, **options))]


def main(arguments=None):
    """Run it; returns the results."""
    parser = running.command_line("benchmarks.index", __doc__, "index")
    parser.add_argument("--rows", type=int, default=1_000_000, help="descriptors")
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--recall", type=float, default=0.99, help="that ivfpq is to reach")
    options = parser.parse_args(arguments)
    names = ("rows", "dimensions", "queries", "recall")
    return running.main(parser, options, cases(**{name: getattr(options, name) for name in names}))


if __name__ == "__main__":
    sys.exit(running.exit_code(main()))
