"""Pseudo labels against matrices of equal labels, and what must be refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.cluster import DBSCAN

from benchmarks import slow_reid as slow
from cirtorch.utils.errors import DataError
from mdir.clustering.centroids import class_means
from mdir.clustering.jaccard import jaccard_distance
from mdir.clustering.self_paced import cluster_labels, self_paced_labels
from tests.clustering.test_jaccard import dense, unit


def graph(distances):
    """All entries below 1 of a dense matrix, zeros included."""
    rows, columns = np.nonzero(distances < 1)
    entries = (distances[rows, columns].astype(np.float32), (rows, columns))
    return sparse.coo_array(entries, distances.shape).tocsr()


def apart(*sizes):
    """Groups of images at distance 0.1 from each other, and at 1 from all others."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    distances = np.where(groups[:, None] == groups, 0.1, 1.0)
    np.fill_diagonal(distances, 0)
    return distances


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(30, 120), st.floats(0.3, 0.8), st.floats(0.005, 0.15))
def test_equal_to_dense_matrices(seed, count, eps, gap):
    distances = jaccard_distance(unit(seed, count), 10, 3)
    try:
        found = self_paced_labels(distances, eps, gap)
    except DataError:
        labels = DBSCAN(eps=eps, min_samples=4, metric="precomputed").fit_predict(dense(distances))
        assert labels.max() < 0
        return
    for threshold in (None, 0.0, found.threshold):
        labels, expected = slow.self_paced(dense(distances), eps, gap, threshold)
        found = self_paced_labels(distances, eps, gap, threshold)
        np.testing.assert_array_equal(found.labels, labels)
        assert found.threshold == expected
        sizes = np.unique(labels, return_counts=True)[1]
        assert (found.clusters, found.unclustered) == ((sizes > 1).sum(), (sizes == 1).sum())


def test_far_pairs_are_not_needed():
    rows = unit(7, 120)
    everything, near = (jaccard_distance(rows, 10, 3, max_distance=m) for m in (1.0, 0.52))
    expected = self_paced_labels(everything, 0.5, 0.02)
    found = self_paced_labels(near, 0.5, 0.02)
    for name in ("labels", "normal", "tight", "loose", "compactness", "independence"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_the_graph_is_left_as_it_was():
    distances = jaccard_distance(unit(8, 60), 10, 3)
    before = distances.copy()
    self_paced_labels(distances)
    np.testing.assert_array_equal(distances.data, before.data)
    np.testing.assert_array_equal(distances.indices, before.indices)


def test_a_cluster_that_the_loose_radius_joins_is_not_trusted():
    distances = apart(5, 5, 6, 1)
    distances[0, 5] = distances[5, 0] = 0.61
    found = self_paced_labels(graph(distances), threshold=0.0)
    # two clusters fall apart into 10 classes after the 4 that there were; their numbers stay free
    np.testing.assert_array_equal(found.labels, [*range(4, 14), *[2] * 6, 3])
    assert (found.clusters, found.unclustered) == (1, 11)
    np.testing.assert_array_equal(found.independence, np.float32([0.5] * 10 + [0] * 7))


def test_a_member_that_the_tight_radius_drops_is_not_trusted():
    distances = apart(5, 1)
    distances[5, :5] = distances[:5, 5] = 0.59
    found = self_paced_labels(graph(distances))
    np.testing.assert_array_equal(found.normal, [0] * 6)
    np.testing.assert_array_equal(found.tight, [0] * 5 + [-1])
    np.testing.assert_array_equal(found.labels, [0] * 5 + [1])


def test_the_threshold_of_the_first_epoch_stays():
    joined = apart(*[5] * 10)
    joined[0, 5] = joined[5, 0] = 0.61
    first = self_paced_labels(graph(apart(*[5] * 10)))
    assert first.threshold == 0
    assert self_paced_labels(graph(joined)).threshold == 0.5
    later = self_paced_labels(graph(joined), threshold=first.threshold)
    assert later.threshold == 0 and later.unclustered == 10


def test_plain_clusters_leave_noise_out():
    labels = cluster_labels(graph(apart(1, 5, 2, 4)), 0.6)
    np.testing.assert_array_equal(labels, [-1, *[0] * 5, -1, -1, *[1] * 4])


@pytest.mark.parametrize("label", [cluster_labels, self_paced_labels])
def test_no_cluster(label):
    with pytest.raises(DataError, match=r"no cluster among 4 images.*eps = 0.55"):
        label(graph(apart(2, 2)), 0.55)


@pytest.mark.parametrize(("eps", "gap", "radius"), [(0.99, 0.02, 1.01), (0.01, 0.02, -0.01)])
def test_a_radius_without_meaning(eps, gap, radius):
    with pytest.raises(DataError, match=f"radius of {radius} .*above 0 and below 1"):
        self_paced_labels(graph(apart(5)), eps, gap)


def test_later_epochs_may_have_no_cluster():
    found = self_paced_labels(graph(apart(1, 1, 2)), threshold=0.2)
    assert (found.clusters, found.unclustered) == (0, 4)


def test_class_means():
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    found = class_means(rows, np.array([3, -1, 0, 3, 0, 7]))
    np.testing.assert_allclose(found, [(rows[2] + rows[4]) / 2, (rows[0] + rows[3]) / 2, rows[5]])
    assert found.dtype == np.float32
