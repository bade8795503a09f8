"""Clustering and scoring of re-identification beside their dense twins, results compared.

    python3 -m benchmarks.reid [PART ...] [--scale 0.1]

Parts: clustering (Jaccard distances and three DBSCANs), growth (the same without the twin, at four
sizes), evaluation. ``--scale`` multiplies the numbers of images.
"""

import argparse
import time

import numpy as np
import torch

from benchmarks import slow_reid as slow
from benchmarks.retrieval import PeakMemory, compare
from mdir.clustering.jaccard import jaccard_distance
from mdir.clustering.reciprocal import nearest_neighbours
from mdir.clustering.self_paced import self_paced_labels
from mdir.scores.measures.cmc import distance_blocks, reid_scores

_K1, _K2, _EPS, _GAP = 30, 6, 0.6, 0.02
_SPREAD = 2.0  # some identities fall apart, some images lie between
_SIZES = (4_000, 8_000, 16_000, 32_621)


def identities(count, spread, dimensions=256):
    """Unit rows float32 ``[count, dimensions]`` about one centre an identity; the identities."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((max(2, count // 31), dimensions), dtype=np.float32)
    ids = rng.integers(0, len(centres), count)
    rows = centres[ids] + np.float32(spread) * rng.standard_normal(
        (count, dimensions), dtype=np.float32
    )
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), ids


def our_labels(rows):
    """Labels of the first epoch."""
    distances = jaccard_distance(rows, _K1, _K2, max_distance=_EPS + _GAP)
    return self_paced_labels(distances, _EPS, _GAP).labels


def clustering(scale):
    """Self-paced labels of 4,000 images."""
    rows, _ = identities(int(4000 * scale), _SPREAD)
    return compare(
        f"clustering, {len(rows)} images",
        lambda: slow.self_paced(slow.jaccard(rows, _K1, _K2), _EPS, _GAP)[0],
        lambda: our_labels(rows),
        lambda a, b: (a != b).sum(),
    )


def growth(scale):
    """Time and memory of ours alone, the search apart from the rest."""
    print("images  seconds  CPU seconds: search, rest  MiB more memory")
    for size in _SIZES:
        rows, _ = identities(int(size * scale), _SPREAD)
        _, search = seconds(nearest_neighbours, rows, _K1)
        with PeakMemory() as peak:
            wall, cpu = seconds(our_labels, rows)
        figures = f"{wall:8.1f} {search:20.1f} {cpu - search:5.1f} {peak() / 2**20:16.0f}"
        print(f"{len(rows):6d} {figures}", flush=True)


def seconds(function, *arguments):
    """By the wall and of the CPU."""
    start = time.perf_counter(), time.process_time()
    function(*arguments)
    return time.perf_counter() - start[0], time.process_time() - start[1]


def evaluation(scale):
    """Scores of 400 queries in a gallery of 20,000."""
    rows, ids = identities(int(20_400 * scale), _SPREAD)
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

    name = f"evaluation, {count} queries, gallery of {len(rows) - count}"
    return compare(name, plain, ours, lambda a, b: np.abs(a - b).max())


PARTS = {"clustering": clustering, "growth": growth, "evaluation": evaluation}


def main(arguments=None):
    """Run the parts and print a line each; returns ``[(name, ratio, difference)]``."""
    parser = argparse.ArgumentParser(prog="benchmarks.reid", description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of all sizes")
    args = parser.parse_args(arguments)
    results = []
    for part in args.parts or PARTS:
        if result := PARTS[part](args.scale):
            results.append(result)
            name, ratio, difference = result
            print(f"{name}: {ratio:.2f} times as fast, results differ by {difference:.1e}")
    return results


if __name__ == "__main__":
    main()
