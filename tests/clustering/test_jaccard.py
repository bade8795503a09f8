"""Sparse Jaccard distances against dense matrices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import slow_reid as slow
from mdir.clustering import jaccard
from mdir.clustering.jaccard import jaccard_distance
from tests.clustering.test_reciprocal import clustered


def unit(seed, count):
    rows = clustered(seed, count)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def dense(distances):
    """Array ``[N, N]``: what is not stored is at 1."""
    found = np.ones(distances.shape, np.float32)
    entries = distances.tocoo()
    found[entries.row, entries.col] = entries.data
    return found


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 12), st.integers(1, 5))
def test_equal_to_dense_matrices(seed, count, k1, k2):
    rows = unit(seed, count)
    found = dense(jaccard_distance(rows, k1, k2))
    np.testing.assert_allclose(found, slow.jaccard(rows, k1, k2), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(np.diag(found), 0)


def test_farther_pairs_are_left_out():
    rows = unit(1, 60)
    everything = dense(jaccard_distance(rows, 8, 3))
    near = jaccard_distance(rows, 8, 3, max_distance=0.5)
    assert 60 < near.nnz < (everything < 1).sum()
    np.testing.assert_array_equal(dense(near), np.where(everything <= 0.5, everything, 1))


def test_blocks_change_nothing(monkeypatch):
    rows = unit(2, 60)
    expected = dense(jaccard_distance(rows, 8, 3))
    monkeypatch.setattr(jaccard, "_PAIRS_AT_ONCE", 10)
    np.testing.assert_array_equal(dense(jaccard_distance(rows, 8, 3)), expected)
    monkeypatch.setattr(jaccard, "_ROWS_AT_ONCE", 1)
    np.testing.assert_array_equal(dense(jaccard_distance(rows, 8, 3)), expected)


def test_half_precision():
    rows = unit(3, 60)
    half = dense(jaccard_distance(rows, 8, 3, half=True))
    np.testing.assert_array_equal(half, half.astype(np.float16))
    np.testing.assert_allclose(half, dense(jaccard_distance(rows, 8, 3)), rtol=0, atol=2e-3)


def test_copies_of_one_image_are_at_zero():
    rows = np.repeat(unit(4, 20), 4, axis=0)
    found = jaccard_distance(rows, 12, 4).toarray()
    first = found[:4, :4]
    assert first.max() < 1e-6


@pytest.mark.parametrize("k1", [5, 30])
def test_fewer_rows_than_neighbours(k1):
    rows = unit(5, 4)
    found = dense(jaccard_distance(rows, k1, 6))
    assert found.shape == (4, 4) and found.max() < 1
