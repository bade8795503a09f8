"""Recall between two domains against a loop."""

import pytest
import torch

from cirtorch.utils.errors import DataError
from mdir.scores.cross_domain import cross_domain_recall


def naive(vectors, domains, labels, rank, queries, candidates):
    hits = 0
    for q in queries:
        others = [c for c in candidates if c != q]
        others.sort(key=lambda c: (-float(vectors[q] @ vectors[c]), c))
        hits += any(labels[c] == labels[q] for c in others[:rank])
    return hits / len(queries)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ties", [False, True])
def test_recall_is_the_loop(dtype, ties):
    generator = torch.Generator().manual_seed(3)
    vectors = torch.randn(24, 4, generator=generator, dtype=dtype)
    if ties:
        vectors = vectors.sign()
    domains = torch.tensor([0, 1] * 12)
    labels = torch.arange(12).repeat_interleave(2)
    a, b = range(0, 24, 2), range(1, 24, 2)
    recall = cross_domain_recall(vectors, domains, labels, [4, 1, 2])
    places = {"ab": (a, b), "ba": (b, a), "cross": (range(24), range(24))}
    for direction, (queries, candidates) in places.items():
        expected = [
            naive(vectors, domains, labels.tolist(), rank, queries, candidates)
            for rank in (1, 2, 4)
        ]
        assert recall[direction] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("ranks", [[], [0, 1], [1, 13]])
def test_impossible_ranks_are_refused(ranks):
    with pytest.raises(DataError, match="ranks"):
        cross_domain_recall(torch.eye(24), torch.tensor([0, 1] * 12), torch.arange(24), ranks)


def test_one_domain_alone_is_refused():
    with pytest.raises(DataError, match="two domains"):
        cross_domain_recall(torch.eye(4), torch.zeros(4), torch.arange(4), [1])
