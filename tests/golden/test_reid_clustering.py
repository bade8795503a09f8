"""Jaccard distances and self-paced labels against those of SpCL."""

import numpy as np
import pytest

from mdir.clustering.jaccard import jaccard_distance
from mdir.clustering.self_paced import self_paced_labels
from tests.clustering.test_jaccard import dense
from tests.golden import golden

JACCARD = golden.load_npz("reid", "jaccard.npz")
CASES = sorted(key[4:] for key in JACCARD if key.startswith("jac_"))
RUNS = golden.files("reid", "selfpaced_*.npz")


def test_cases_are_there():
    golden.needs("reid", "jaccard.npz")
    golden.needs("reid", "selfpaced_usl.npz")
    assert CASES and RUNS


@pytest.mark.parametrize("case", CASES)
def test_jaccard(case):
    k1, k2, half = map(int, JACCARD[f"k_{case}"])
    found = dense(jaccard_distance(JACCARD[f"x_{case}"], k1, k2, half=bool(half)))
    np.testing.assert_allclose(found, JACCARD[f"jac_{case}"], rtol=0, atol=2e-3 if half else 1e-4)


@pytest.mark.parametrize("name", RUNS)
def test_self_paced_epochs(name):
    arrays = golden.needed_npz("reid", name)
    k1, k2, eps, gap, source = arrays["cfg"]
    source = max(int(source), 0)
    threshold = None
    for epoch in range(sum(key.endswith("_features") for key in arrays)):
        expected = {
            key.partition("_")[2]: value
            for key, value in arrays.items()
            if key.startswith(f"e{epoch}_")
        }
        features = expected["features"]
        everything = jaccard_distance(features, int(k1), int(k2))
        np.testing.assert_allclose(dense(everything), expected["jaccard"], rtol=0, atol=1e-4)
        near = jaccard_distance(features, int(k1), int(k2), max_distance=eps + gap)
        for graph in (everything, near):
            found = self_paced_labels(graph, eps, gap, threshold)
            for key, value in {
                "dbscan": found.normal,
                "dbscan_tight": found.tight,
                "dbscan_loose": found.loose,
                "R_comp": found.compactness,
                "R_indep": found.independence,
                "indep_thres": found.threshold,
                "labels": found.labels + source,
                "dataset_labels": found.labels + source,
                "memory_labels": [*range(source), *(found.labels + source)],
                "stats": (found.clusters, found.unclustered),
            }.items():
                if key in expected:
                    np.testing.assert_array_equal(value, expected[key], err_msg=f"{epoch} {key}")
        threshold = found.threshold
