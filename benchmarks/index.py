"""An index of many descriptors: exact, ivfpq and plain FAISS side by side, in one run.

    python3 -m benchmarks.index                        # 1,000,000 descriptors of 512 dimensions
    python3 -m benchmarks.index --rows 100000

Descriptors are drawn around centres in fewer dimensions, as those of images are, and lie in shards.
A million of them take 2.4 GB of disk below TMPDIR and some ten minutes on two cores.
"""

import argparse
import multiprocessing
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.retrieval import PeakMemory
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


def recall(found, truth):
    """The part of the right ids that were found."""
    both = zip(found.tolist(), truth.tolist(), strict=True)
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in both]))


def size_of(folder):
    """Bytes of the files of a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def main(arguments=None):
    """Print a line for each engine; returns their numbers by name."""
    parser = argparse.ArgumentParser(prog="benchmarks.index", description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="descriptors")
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--recall", type=float, default=0.99, help="that ivfpq is to reach")
    args = parser.parse_args(arguments)
    found = {}
    print(
        f"{args.rows} drawn descriptors of {args.dimensions} dimensions, {_PLACE} around a centre; "
        f"{args.queries} queries around the same centres",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        queries = draw(folder, args.rows, args.dimensions, args.queries)
        for name in ("exact", "ivfpq", "faiss flat"):
            found[name] = _measure(folder, name, queries, args.recall, found.get("exact"))
            _show(name, found)
    return found


def _measure(folder, name, queries, target, exact):
    """Numbers of an engine. ``exact``: those of the engine that has the right ids, or None."""
    flat, place, told = name == "faiss flat", folder / name, {}
    if not flat:
        start = time.perf_counter()
        _, told["build_peak"] = apart(build, folder, name, target)
        told["build_s"] = time.perf_counter() - start
    ask_it = (ask_flat, folder) if flat else (ask, place)
    (ids, rate, single, opened), peak = apart(*ask_it, queries)
    told |= {
        "bytes": 0 if flat else size_of(place),
        "open_s": opened,
        "rate": rate,
        "ms": single,
        "ids": ids,
        "recall": recall(ids, exact["ids"] if exact else ids),
        "peak": peak,
    }
    if not flat:
        (ids, rate, _, _), _ = apart(ask, place, queries, {"condition": "day"})
        told |= {"day": ids, "day_rate": rate}
        told["day_recall"] = recall(ids, exact["day"] if exact else ids)
    return told


def _show(name, found):
    told, exact = found[name], found["exact"]
    line = (
        f"opened in {told['open_s']:.1f} s; {told['rate']:.1f} queries/s together "
        f"({told['rate'] / exact['rate']:.1f} times exact), {told['ms']:.1f} ms alone; "
        f"recall@{K} {told['recall']:.4f}; +{told['peak'] / 2**20:.0f} MiB at most"
    )
    if "build_s" in told:
        line = (
            f"built in {told['build_s']:.0f} s (+{told['build_peak'] / 2**20:.0f} MiB), "
            f"{told['bytes'] / 2**20:.0f} MiB beside the descriptors; {line}; half filtered away: "
            f"{told['day_rate']:.1f} queries/s, recall {told['day_recall']:.4f}"
        )
    print(f"{name}: {line}", flush=True)


if __name__ == "__main__":
    main()
