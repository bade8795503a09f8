"""Counted positions equal those of a stable sort, ties, memory maps and shards included."""

import numpy as np
import pytest
import torch

from cirtorch.search.ranking import count_ranks
from cirtorch.search.shards import ShardedRows
from cirtorch.utils.errors import DataError
from cirtorch.utils.evaluate import compute_map


def random_gnd(rng, queries, images):
    gnd = []
    for i in range(queries):
        ids = rng.permutation(images)
        gnd.append(
            {"bbx": [0, 0, 1, 1], "ok": ids[: i % 4].tolist(), "junk": ids[4 : 4 + i % 3].tolist()}
        )
    return gnd


@pytest.mark.parametrize("block", [7, 64, 1000])
@pytest.mark.parametrize("values", ["ties", "real", "zeros"])
def test_positions_equal_a_stable_sort(block, values):
    rng = np.random.RandomState(block)
    database, queries = rng.standard_normal((150, 8)), rng.standard_normal((8, 9))
    if values == "ties":
        database, queries = database.round(), queries.round()
    if values == "zeros":
        database[::2] = 0
    database, queries = database.astype(np.float32), queries.astype(np.float32)
    gnd = random_gnd(rng, 9, 150)
    positions = count_ranks(database, queries, gnd, rows_at_once=block)
    ranks = np.argsort(-(database @ queries), axis=0, kind="stable")
    for i, query in enumerate(gnd):
        for key in ("ok", "junk"):
            expected = np.flatnonzero(np.isin(ranks[:, i], query[key]))
            np.testing.assert_array_equal(positions.of(i, query[key]), expected)
    expected, counted = compute_map(ranks, gnd, [1, 5]), compute_map(positions, gnd, [1, 5])
    for a, b in zip(expected, counted, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("block", [300, 333, 1 << 15])
def test_copies_of_a_row_stand_in_the_order_of_the_database(block):
    rng = np.random.RandomState(4)
    database = rng.standard_normal((400, 67)).astype(np.float32)
    database = np.concatenate([database, database[::-1], database[:17]])
    queries = rng.standard_normal((67, 3)).astype(np.float32)
    scores = (database.astype(np.float64)[:, :, None] * queries).sum(axis=1)
    ranks = np.argsort(-scores, axis=0, kind="stable")
    positions = count_ranks(database, queries, [{"ok": range(len(database))}] * 3, block)
    for i in range(3):
        found = np.array([positions.of(i, [image])[0] for image in ranks[:, i]])
        np.testing.assert_array_equal(found, np.arange(len(database)))


def test_columns_and_shards_are_the_same(tmp_path):
    rng = np.random.RandomState(0)
    vecs, gnd = rng.standard_normal((6, 80)).astype(np.float32), random_gnd(rng, 5, 80)
    queries = torch.from_numpy(rng.standard_normal((6, 5)).astype(np.float32))
    expected = count_ranks(vecs.T, queries, gnd).positions
    np.save(tmp_path / "a.npy", vecs.T[:30])
    np.save(tmp_path / "b.npy", vecs.T[30:])
    shards = ShardedRows(np.load(tmp_path / f"{n}.npy", mmap_mode="r") for n in "ab")
    assert count_ranks(shards, queries, gnd, rows_at_once=16).positions == expected
    assert count_ranks(torch.from_numpy(vecs).t(), queries, gnd).positions == expected


def test_many_queries_are_counted_part_by_part():
    rng = np.random.RandomState(1)
    database, queries = rng.standard_normal((90, 4)), rng.standard_normal((4, 300))
    gnd = [{"ok": [i % 90, 7], "junk": [i % 11]} for i in range(300)]
    found = count_ranks(database, queries, gnd).positions
    ranks = np.argsort(np.argsort(-(database @ queries), axis=0, kind="stable"), axis=0)
    expected = [{k: ranks[k, i] for k in {i % 90, 7, i % 11}} for i in range(300)]
    assert found == expected
    with pytest.raises(RuntimeError):  # never as if there were fewer queries
        count_ranks(database, queries, gnd[:128])


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_what_is_no_number_has_no_place(broken):
    database, queries = np.ones((90, 4)), np.ones((4, 3))
    database[70, 1] = broken
    with pytest.raises(DataError, match="database image 70 .* is NaN or infinite"):
        count_ranks(database, queries, [{"ok": [1]}] * 3, rows_at_once=64)
    queries[2, 1:] = broken
    with pytest.raises(DataError, match=r"queries: .* of 2 of 3 images \(1, 2\) are NaN"):
        count_ranks(np.ones((90, 4)), queries, [{"ok": [1]}] * 3)


def test_indices_outside_the_database_are_skipped():
    positions = count_ranks(np.eye(3), np.eye(3)[:, :1], [{"ok": [0, 7, -1]}])
    assert positions.of(0, [0, 7, 0]).tolist() == [0]


def test_positions_by_distance():
    rng = np.random.RandomState(3)
    database = rng.standard_normal((150, 4)).round().astype(np.float32)
    queries = rng.standard_normal((4, 9)).round().astype(np.float32)
    distances = np.square(database[:, :, None] - queries).sum(axis=1)
    expected = np.argsort(np.argsort(distances, axis=0, kind="stable"), axis=0)
    positions = count_ranks(database, queries, [{"ok": range(150)}] * 9, 64, metric="l2")
    for i in range(9):
        np.testing.assert_array_equal(positions.of(i, range(150)), np.arange(150))
        assert [positions.of(i, [image])[0] for image in range(150)] == expected[:, i].tolist()
