"""Neighbours and k-reciprocal sets against full sorts and loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import slow_reid as slow
from cirtorch.utils.errors import DataError
from mdir.clustering.reciprocal import expanded_sets, nearest_neighbours


def clustered(seed, count, dimensions=6):
    """Rows about a few centres, no two distances equal."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(2, count // 8), dimensions))
    rows = centres[rng.integers(0, len(centres), count)]
    return (rows + 0.4 * rng.standard_normal(rows.shape)).astype(np.float32)


def squared_distances(rows):
    rows = rows.astype(np.float64)
    return ((rows[:, None] - rows) ** 2).sum(axis=2)


@pytest.mark.parametrize("scale", ["unit", "any"])
def test_neighbours_are_those_of_a_full_sort(scale):
    rows = clustered(0, 50)
    if scale == "unit":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = nearest_neighbours(rows, 7)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, slow.neighbours(squared_distances(rows), 7))
    np.testing.assert_array_equal(found[:, 0], np.arange(50))


def test_of_equal_distances_the_lower_index_comes_first():
    rows = np.repeat(np.eye(4, dtype=np.float32), 3, axis=0)
    found = nearest_neighbours(rows, 5)
    np.testing.assert_array_equal(found[4], [3, 4, 5, 0, 1])


def test_there_are_no_more_neighbours_than_rows():
    assert nearest_neighbours(clustered(0, 5), 30).shape == (5, 5)


def test_a_broken_row_is_named():
    rows = clustered(0, 5)
    rows[3, 1] = np.nan
    with pytest.raises(DataError, match="row 3 holds NaN"):
        nearest_neighbours(rows, 2)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 12), st.booleans())
def test_sets_are_those_of_the_loops(seed, count, k1, itself_counts):
    ranked = nearest_neighbours(clustered(seed, count), k1 if itself_counts else k1 + 1)
    found = expanded_sets(ranked, k1)
    for i in range(count):
        members = np.sort(found.indices[found.indptr[i] : found.indptr[i + 1]])
        np.testing.assert_array_equal(members, slow.expanded(ranked, i, k1))


def test_the_row_itself_takes_a_place_where_k1_were_fetched():
    # rows 0 and 2 have one another only among their two nearest others
    rows = np.array([[0], [1], [3], [7]], np.float32)
    narrow = expanded_sets(nearest_neighbours(rows, 2), 2).toarray()
    wide = expanded_sets(nearest_neighbours(rows, 3), 2).toarray()
    np.testing.assert_array_equal(narrow[0], [True, True, False, False])
    np.testing.assert_array_equal(wide[0], [True, True, True, False])
