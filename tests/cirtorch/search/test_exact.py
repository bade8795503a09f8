"""Both engines give what a full stable sort gives, ties included, from blocks and shards."""

import sys

import numpy as np
import pytest
import torch

from cirtorch.search.exact import Search
from cirtorch.search.shards import ShardedRows, open_shards
from cirtorch.utils.errors import DataError


@pytest.fixture(params=["exact", "faiss"])
def engine(request):
    if request.param == "faiss":
        pytest.importorskip("faiss")
    return request.param


def inner_product(q, x):
    return sum(a * b for a, b in zip(q, x, strict=True))


def minus_distance(q, x):
    return -sum((a - b) ** 2 for a, b in zip(q, x, strict=True))


def naive_search(database, queries, k, score=inner_product):
    scores = np.array([[score(q, x) for x in database] for q in queries])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


@pytest.mark.parametrize("kind", ["ties", "copies", "zeros", "real"])
@pytest.mark.parametrize("k", [1, 7, 1000])
@pytest.mark.parametrize("metric", ["inner_product", "l2"])
def test_results_equal_a_stable_sort(engine, kind, k, metric):
    rng = np.random.RandomState(k)
    database = rng.standard_normal((300, 6)).astype(np.float32)
    queries = rng.standard_normal((5, 6)).astype(np.float32)
    if kind == "ties":
        database, queries = database.round(), queries.round()
    if kind == "copies":
        database[100:300] = database[7]
    if kind == "zeros":
        database[:] = 0
    index = Search(database, engine, rows_at_once=37, metric=metric)
    scores, indices = index.search(queries, k)
    score = {"inner_product": inner_product, "l2": minus_distance}[metric]
    expected = naive_search(database.astype(np.float64), queries.astype(np.float64), k, score)
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(scores, expected[0], atol=1e-5)
    assert scores.dtype == np.float32 and indices.dtype == np.int64


def test_unknown_metric():
    with pytest.raises(DataError, match="unknown metric 'cosine'; known are inner_product, l2"):
        Search(np.eye(2, dtype=np.float32), metric="cosine")


@pytest.mark.parametrize("metric", ["inner_product", "l2"])
def test_engines_agree_on_hard_roundings(metric):
    pytest.importorskip("faiss")
    rng = np.random.RandomState(0)
    database = rng.standard_normal((2000, 64)).astype(np.float32)
    database[1000:] = database[:1000] + rng.standard_normal((1000, 64)).astype(np.float32) * 1e-7
    database /= np.linalg.norm(database, axis=1, keepdims=True)
    results = [
        Search(database, name, rows_at_once=300, metric=metric).search(database[:9], 50)
        for name in ("exact", "faiss")
    ]
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_shards_memory_maps_and_tensors(engine, tmp_path):
    database = np.random.RandomState(1).standard_normal((50, 4)).astype(np.float32)
    expected = Search(database, engine).search(database[:3], 5)
    np.save(tmp_path / "all.npy", database)
    for i, part in enumerate(np.array_split(database, 3)):
        np.save(tmp_path / f"{i}.npy", part)
    shards = ShardedRows([np.load(tmp_path / f"{i}.npy", mmap_mode="r") for i in range(3)])
    mapped = np.load(tmp_path / "all.npy", mmap_mode="r")
    for same in (shards, mapped, torch.from_numpy(database)):
        found = Search(same, engine, rows_at_once=9).search(database[:3], 5)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_mistakes_are_told(monkeypatch, tmp_path):
    database = np.eye(4, dtype=np.float32)
    with pytest.raises(DataError, match="exact, faiss"):
        Search(database, "magic")
    with pytest.raises(DataError, match="dimensions"):
        Search(database).search(np.ones((2, 3)), 1)
    database[2] = np.nan
    with pytest.raises(DataError, match="row 2"):
        Search(database)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(DataError, match="faiss-cpu"):
        Search(np.eye(4), "faiss")
    with pytest.raises(DataError, match="shards.json"):
        open_shards(tmp_path)
    with pytest.raises(DataError, match="different sizes"):
        ShardedRows([np.ones((2, 3)), np.ones((2, 4))])


def test_searching_keeps_its_precision_to_itself():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        database = np.random.RandomState(0).standard_normal((200, 64)).astype(np.float32)
        found = Search(database).search(database[:20], 3)[1]
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    expected = np.argsort(-(database[:20].astype(np.float64) @ database.T), axis=1)[:, :3]
    np.testing.assert_array_equal(found, expected)


def test_nothing_to_find():
    scores, indices = Search(np.eye(4)).search(np.eye(4), 0)
    assert scores.shape == indices.shape == (4, 0)
