"""Clusters and centroids against those of Cluster Contrast."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from mdir.clustering.centroids import class_means
from mdir.clustering.jaccard import jaccard_distance
from mdir.clustering.self_paced import cluster_labels
from tests.clustering.test_jaccard import dense
from tests.golden import golden

DBSCAN = golden.load_npz("cluster_contrast", "dbscan.npz")
CENTROIDS = golden.load_npz("cluster_contrast", "centroids.npz")
CASES, MEANS = (list(arrays.get("cases", [])) for arrays in (DBSCAN, CENTROIDS))


def unit(rows):
    return normalize(torch.from_numpy(rows)).numpy()


def test_cases_are_there():
    golden.needs("cluster_contrast", "dbscan.npz")
    golden.needs("cluster_contrast", "centroids.npz")
    assert CASES and MEANS


@pytest.mark.parametrize("case", CASES)
def test_clusters(case):
    features, eps = DBSCAN[f"x_{case}"], float(DBSCAN[f"eps_{case}"])
    k1, k2 = map(int, DBSCAN[f"k_{case}"])
    distances = jaccard_distance(features, k1, k2)
    np.testing.assert_allclose(dense(distances), DBSCAN[f"jaccard_{case}"], rtol=0, atol=1e-4)
    for graph in (distances, jaccard_distance(features, k1, k2, max_distance=eps)):
        labels = cluster_labels(graph, eps, int(DBSCAN[f"min_samples_{case}"]))
        np.testing.assert_array_equal(labels, DBSCAN[f"labels_{case}"])
    assert labels.max() + 1 == DBSCAN[f"num_clusters_{case}"]
    memory = unit(class_means(features, labels))
    np.testing.assert_allclose(memory, DBSCAN[f"memory_{case}"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("case", MEANS)
def test_centroids(case):
    labels = CENTROIDS[f"labels_{case}"]
    means = class_means(CENTROIDS[f"features_{case}"], labels)
    assert len(means) == CENTROIDS[f"num_clusters_{case}"]
    np.testing.assert_allclose(means, CENTROIDS[f"means_{case}"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(unit(means), CENTROIDS[f"memory_{case}"], rtol=0, atol=1e-5)
