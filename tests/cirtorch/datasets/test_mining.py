"""Miners against walks down a full sort."""

import pytest
import torch

from cirtorch.datasets import mining
from cirtorch.datasets.mining import diverse_anchors, mine_hard_negatives
from cirtorch.utils.errors import DataError


def naive_negatives(qvecs, pool, qclusters, pclusters, neg_num):
    result = []
    for q in range(qvecs.shape[1]):
        scores = [float((qvecs[:, q] * pool[:, i]).sum()) for i in range(pool.shape[1])]
        seen, chosen = {int(qclusters[q])}, []
        for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
            if int(pclusters[i]) not in seen and len(chosen) < neg_num:
                chosen.append(i)
                seen.add(int(pclusters[i]))
        result.append(chosen)
    return torch.tensor(result)


def naive_anchors(vecs, size, exclude, include):
    picked, similarities = [0], []
    for _ in range(size - 1):
        left = [j for j in range(vecs.shape[1]) if j not in picked]
        best = {j: max(float(vecs[:, j] @ vecs[:, p]) for p in picked) for j in left}
        hi = max(int(len(left) * (1 - exclude)), 1)
        lo = min(int(len(left) * (1 - include)), hi - 1)
        band = sorted(left, key=lambda j: (best[j], j))[lo:hi]
        picked.append(band[int(torch.randint(len(band), (1,)))])
        similarities.append(best[picked[-1]])
    return picked, similarities


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("neg_num, clusters", [(1, 3), (5, 8), (5, 40)])
def test_hard_negatives_equal_the_walk(dtype, neg_num, clusters, monkeypatch):
    monkeypatch.setattr(mining, "_SHORTLIST_PER_NEGATIVE", 2)
    monkeypatch.setattr(mining, "_SCORES_AT_ONCE", 400)
    torch.manual_seed(neg_num)
    # Small integers make many exact ties.
    qvecs, pool = (torch.randint(-2, 3, (6, n)).to(dtype) for n in (11, 90))
    qclusters, pclusters = torch.randint(clusters, (11,)), torch.arange(90) % clusters
    if neg_num >= clusters:
        pytest.skip("too few clusters")
    found, distances = mine_hard_negatives(qvecs, pool, qclusters, pclusters, neg_num)
    assert torch.equal(found, naive_negatives(qvecs, pool, qclusters, pclusters, neg_num))
    expected = (qvecs[:, :, None] - pool[:, found] + 1e-6).norm(dim=0)
    torch.testing.assert_close(distances, expected)
    assert distances.dtype == dtype


def test_too_few_clusters_is_told():
    vecs = torch.eye(3)
    with pytest.raises(DataError, match="2 clusters"):
        mine_hard_negatives(vecs, vecs, [0, 0, 0], [0, 1, 2], 3)
    with pytest.raises(DataError, match="NaN"):
        mine_hard_negatives(vecs / 0, vecs, [0, 0, 0], [0, 1, 2], 1)


def test_no_negatives_or_no_queries():
    vecs = torch.eye(3)
    assert mine_hard_negatives(vecs, vecs, [0] * 3, [0] * 3, 0)[0].shape == (3, 0)
    assert mine_hard_negatives(vecs[:, :0], vecs, [], [0, 1, 2], 2)[0].shape == (0, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("exclude, include", [(0.2, 0.8), (0.0, 1.0), (1.0, 1.0)])
def test_diverse_anchors_equal_the_naive_search(dtype, exclude, include):
    torch.manual_seed(3)
    vecs = torch.randint(-2, 3, (5, 40)).to(dtype)
    torch.manual_seed(4)
    expected = naive_anchors(vecs, 15, exclude, include)
    torch.manual_seed(4)
    assert diverse_anchors(vecs, 15, exclude, include) == expected


def test_anchors_are_a_set_even_among_duplicates():
    picked, _ = diverse_anchors(torch.ones(4, 9), 9, 0.0, 1.0)
    assert sorted(picked) == list(range(9))


def test_without_shuffling_the_last_of_the_band():
    vecs = torch.tensor([[1.0, 0.1, 0.9, 0.5]])
    assert diverse_anchors(vecs, 2, 0.0, 1.0, shuffle=False)[0] == [0, 2]


@pytest.mark.parametrize("arguments", [(5, 0, 1), (0, 0, 1), (2, 0.8, 0.2)])
def test_impossible_requests(arguments):
    with pytest.raises(DataError):
        diverse_anchors(torch.ones(2, 4), *arguments)
