"""Recall, R-precision, MAP@R and mutual information among all others of a set."""

import math

import numpy as np
import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from sklearn.cluster import KMeans
from torch.nn.functional import normalize

from cirtorch.utils.errors import DataError
from mdir.scores.measures import class_recall
from mdir.scores.measures.class_recall import (
    class_scores,
    nearest_others,
    normalized_mutual_information,
)


def features():
    """60 rows that lie about the centres of their 7 classes, one of which has a single image."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 6
    labels[10] = 6
    centres = torch.randn(7, 5, generator=generator)
    rows = centres[labels] + torch.randn(60, 5, generator=generator)
    return normalize(rows, dim=1), labels


def by_loops(rows, labels, ranks):
    """Recalls, R-precisions and mean precisions, sorting every ranking in full."""
    similarities = (rows @ rows.T).numpy()
    hits, r_precision, at_r = [], [], []
    for query, scores in enumerate(similarities):
        order = [i for i in np.argsort(-scores, kind="stable") if i != query]
        right = [bool(labels[i] == labels[query]) for i in order]
        hits.append([any(right[:rank]) for rank in ranks])
        others = sum(right)
        r_precision.append(sum(right[:others]) / others if others else math.nan)
        precisions = [sum(right[:r]) / r for r in range(1, others + 1) if right[r - 1]]
        at_r.append(sum(precisions) / others if others else math.nan)
    return np.mean(hits, axis=0), r_precision, at_r


@pytest.mark.parametrize("at_once", [1, 1000, 1 << 23])
def test_against_loops(at_once, monkeypatch):
    monkeypatch.setattr(class_recall, "_SIMILARITIES_AT_ONCE", at_once)
    rows, labels = features()
    ranks = [4, 1, 2]
    found = class_scores(rows, labels, ranks, shown=3)
    recalls, r_precision, at_r = by_loops(rows, labels, ranks)
    np.testing.assert_allclose([found.recall(rank) for rank in ranks], recalls)
    np.testing.assert_allclose(found.r_precision, r_precision)
    np.testing.assert_allclose(found.precision_at_r, at_r)
    assert np.isnan(found.r_precision[10])
    assert found.nearest.shape == (60, 3)


def test_against_the_library():
    rows, labels = features()
    calculator = AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r", "NMI"),
        k="max_bin_count",
        knn_func=CustomKNN(CosineSimilarity()),
        kmeans_func=lambda x, k: torch.from_numpy(
            KMeans(k, n_init=1, random_state=0).fit_predict(x.numpy())
        ),
        device=torch.device("cpu"),
    )
    expected = calculator.get_accuracy(rows, labels)
    found = class_scores(rows, labels, [1])
    # theirs leaves out the image that has no other of its class
    assert found.recall(1) * 60 / 59 == pytest.approx(expected["precision_at_1"])
    assert np.nanmean(found.r_precision) == pytest.approx(expected["r_precision"])
    at_r = expected["mean_average_precision_at_r"]
    assert np.nanmean(found.precision_at_r) == pytest.approx(at_r)
    nmi = normalized_mutual_information(rows.numpy(), labels.numpy())
    assert nmi == pytest.approx(expected["NMI"])


def test_equal_similarities_go_to_the_lower_index():
    rows = torch.eye(3)[[0, 1, 0, 0, 1, 2, 0, 1]]
    found = nearest_others(rows, torch.tensor([2, 5, 7]), 4)
    assert found.tolist() == [[0, 3, 6, 1], [0, 1, 2, 3], [1, 4, 0, 2]]


def test_a_collapsed_network_finds_the_lowest_indices():
    labels = torch.tensor([0, 1, 1, 0, 1])
    found = class_scores(torch.ones(5, 2), labels, [1, 2], shown=2)
    assert found.nearest.tolist() == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1]]
    assert (found.recall(1), found.recall(2)) == (0.2, 0.8)
    assert normalized_mutual_information(np.ones((5, 2)), labels.numpy()) == 0


def test_ranks_above_the_number_of_others_are_that_number():
    rows, _ = features()
    found = class_scores(rows[:5], [0, 1, 0, 1, 0], [1000])
    assert found.recall(1000) == 1
    assert found.nearest.shape == (5, 0)


@pytest.mark.parametrize(
    ("rows", "ranks", "message"),
    [
        (torch.full((3, 2), math.nan), [1], "are NaN or infinite"),
        (torch.full((3, 2), math.inf), [1], "are NaN or infinite"),
        (torch.ones(1, 2), [1], "recall needs two images, got 1"),
        (torch.ones(3, 2), [1, 0], r"1 or more, got \[1, 0\]"),
        (torch.ones(3, 2), [], r"1 or more, got \[\]"),
    ],
)
def test_what_cannot_be_scored(rows, ranks, message):
    with pytest.raises(DataError, match=message):
        class_scores(rows, [0] * len(rows), ranks)
