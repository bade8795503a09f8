"""Recall between two domains against a loop."""

from types import SimpleNamespace

import pytest
import torch

from cirtorch.utils.errors import DataError
from mdir.scores.cross_domain_score import CrossDomainRecall
from mdir.scores.measures.cross_domain import counterpart_ranks, cross_domain_recall


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


def averages(naming):
    score = SimpleNamespace(
        naming=naming, ranks=[1, 2], dataset=SimpleNamespace(domains=["day", "night"])
    )
    recall = {"ab": [0.1, 0.2], "ba": [0.3, 0.4], "cross": [0.5, 0.6]}
    return CrossDomainRecall.averages(score, recall)


def test_names_of_daco():
    assert averages("daco") == pytest.approx(
        {
            "val_precise": 0.3,  # the mean of the three
            "val_ab_recall@1": 0.1,
            "val_ba_recall@1": 0.3,
            "val_cross_recall@1": 0.5,
            "val_ab_recall@2": 0.2,
            "val_ba_recall@2": 0.4,
            "val_cross_recall@2": 0.6,
        }
    )


def test_names_of_ossco():
    assert averages("ossco") == pytest.approx(
        {
            "val_precise": 0.5,  # over both domains
            "day->night@1": 0.1,
            "night->day@1": 0.3,
            "day<->night@1": 0.5,
            "day->night@2": 0.2,
            "night->day@2": 0.4,
            "day<->night@2": 0.6,
        }
    )


def test_an_image_without_counterpart_has_no_rank():
    ranks = counterpart_ranks(torch.eye(3), torch.tensor([0, 0, 1]), *[torch.arange(3)] * 2)
    assert ranks.tolist() == [1, 1, 0]


def test_features_that_are_no_numbers_are_refused():
    vectors = torch.eye(4)
    vectors[2] = float("nan")
    with pytest.raises(DataError, match=r"1 of 4 images \(2\) are NaN"):
        cross_domain_recall(vectors, torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1]), [1])
