"""Re-ranking against dense matrices."""

import numpy as np
import pytest
import torch

from benchmarks import slow_reid as slow
from mdir.clustering import jaccard
from mdir.scores.measures.rerank import reranked_blocks
from tests.clustering.test_reciprocal import clustered, squared_distances


def rerank_dense(rows, count, k1, k2, weight, power):
    """As published, from the whole matrix of squared distances."""
    D = squared_distances(rows) ** power
    D = (D / D.max(axis=0)).T.astype(np.float32)
    V = slow.encodings(D, slow.neighbours(D, k1 + 1), k1, k2)
    shared = np.stack(list(slow.overlaps(V, count)))
    J = 1 - shared / (2 - shared)
    return ((1 - weight) * J + weight * D[:count])[:, count:]


@pytest.mark.parametrize(
    ("k1", "k2", "weight", "power"),
    [(20, 6, 0.3, 2), (7, 1, 0.5, 2), (6, 3, 0.0, 1), (10, 4, 1.0, 1)],
)
def test_equal_to_dense_matrices(k1, k2, weight, power):
    rows = clustered(3, 90)
    queries, gallery = torch.from_numpy(rows).split([20, 70])
    found = np.concatenate(list(reranked_blocks(queries, gallery, k1, k2, weight, power)))
    expected = rerank_dense(rows, 20, k1, k2, weight, power)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_blocks_change_nothing(monkeypatch):
    queries, gallery = torch.from_numpy(clustered(4, 60)).split([10, 50])
    expected = np.concatenate(list(reranked_blocks(queries, gallery)))
    monkeypatch.setattr(jaccard, "_ROWS_AT_ONCE", 3)
    blocks = list(reranked_blocks(queries, gallery))
    assert [len(block) for block in blocks] == [3, 3, 3, 1]
    np.testing.assert_allclose(np.concatenate(blocks), expected, rtol=0, atol=1e-6)
