"""Scores of re-identification against full rankings and scikit-learn's average precision."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import slow_reid as slow
from cirtorch.utils.errors import DataError
from mdir.scores.measures.cmc import distance_blocks, reid_scores


def draw(seed, queries=9, gallery=40, levels=None):
    """Distances, and identities and cameras of queries and gallery; ``levels`` makes ties."""
    rng = np.random.default_rng(seed)
    distances = rng.random((queries, gallery), dtype=np.float32)
    if levels:
        distances = np.round(distances * levels) / np.float32(levels)
    query, gallery = (
        (rng.integers(0, 5, count), rng.integers(0, 3, count)) for count in (queries, gallery)
    )
    return distances, query, gallery


def cmc_by_loops(distances, query, gallery, topk, separate, single, first):
    """The published loop, drawing from NumPy's global generator."""
    ids, cameras = gallery
    total, valid = np.zeros(topk), 0
    for row, identity, camera in zip(distances, *query, strict=True):
        ranking = np.argsort(row, kind="stable")
        kept = (ids[ranking] != identity) | (cameras[ranking] != camera)
        if separate:
            kept &= cameras[ranking] != camera
        if not (ids[ranking[kept]] == identity).any():
            continue
        valid += 1
        places = {}
        for place in np.flatnonzero(kept):
            places.setdefault(ids[ranking[place]], []).append(place)
        for _ in range(10 if single else 1):
            shown = kept
            if single:
                chosen = [np.random.choice(members) for members in places.values()]
                shown = np.isin(np.arange(len(kept)), chosen)
            matches = np.flatnonzero(ids[ranking[shown]] == identity)
            share = 1 / ((1 if first else len(matches)) * (10 if single else 1))
            for earlier, rank in enumerate(matches[:1] if first else matches):
                if rank - earlier < topk:
                    total[rank - earlier] += share
    return total.cumsum() / valid


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([None, 4, 50]))
def test_scores_are_those_of_full_rankings(seed, levels):
    distances, query, gallery = draw(seed, levels=levels)
    precision, cmc, penalty = slow.scores(distances, query, gallery, topk=12)
    found = reid_scores([distances], query, gallery, topk=12)
    assert found.mean_ap == pytest.approx(precision, abs=1e-12)
    assert found.mean_inp == pytest.approx(penalty, abs=1e-12)
    np.testing.assert_allclose(found.cmc, cmc, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([None, 4]),
    st.sampled_from([1, 6, 100]),
    *[st.booleans()] * 3,
)
def test_cmc_with_all_options(seed, levels, topk, separate, single, first):
    distances, query, gallery = draw(seed, levels=levels)
    np.random.seed(seed)
    expected = cmc_by_loops(distances, query, gallery, topk, separate, single, first)
    after = np.random.random()
    np.random.seed(seed)
    found = reid_scores(
        np.array_split(distances, 3),
        query,
        gallery,
        topk=topk,
        separate_camera_set=separate,
        single_gallery_shot=single,
        first_match_break=first,
    )
    np.testing.assert_allclose(found.cmc, expected, atol=1e-12)
    assert np.random.random() == after
    assert found.mean_ap == pytest.approx(slow.scores(distances, query, gallery)[0], abs=1e-12)


def test_of_equal_distances_the_lower_index_comes_first():
    query, gallery = ([1], [0]), (np.array([2, 1, 3, 1]), np.array([1, 1, 1, 1]))
    distances = np.float32([[0.5, 0.5, 0.5, 0.7]])
    found = reid_scores([distances], query, gallery, topk=3)
    np.testing.assert_array_equal(found.cmc, [0, 1, 1])
    assert found.mean_ap == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert found.mean_inp == 2 / 4


def test_queries_without_a_match_are_skipped():
    query, gallery = ([9, 1, 2], [0, 0, 0]), (np.array([1, 2, 2]), np.array([0, 0, 1]))
    distances = np.float32([[1, 2, 3], [1, 2, 3], [2, 1, 3]])
    found = reid_scores([distances], query, gallery, topk=2)
    np.testing.assert_array_equal(found.average_precision, [np.nan, np.nan, 1 / 2])
    assert found.mean_ap == 1 / 2
    np.testing.assert_array_equal(found.cmc, [0, 1])


@pytest.mark.parametrize("gallery", [([1, 2], [0, 0]), ([5, 6], [1, 1]), ([], [])])
def test_no_valid_query(gallery):
    gallery = tuple(np.array(side, dtype=int) for side in gallery)
    distances = np.zeros((2, len(gallery[0])), np.float32)
    with pytest.raises(DataError, match="No valid query"):
        reid_scores([distances], ([1, 2], [0, 0]), gallery)


def test_a_query_without_distances_is_named():
    distances, query, gallery = draw(0)
    distances[4, 2] = np.nan
    with pytest.raises(DataError, match="query 4: NaN"):
        reid_scores([distances], query, gallery)


@pytest.mark.parametrize("queries", [1, 64, 150])
def test_distances_by_blocks(queries):
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(count, 8, generator=generator) for count in (queries, 30))
    blocks = list(distance_blocks(first, second))
    assert max(map(len, blocks)) <= 64
    found = np.concatenate(blocks)
    assert found.dtype == np.float32
    expected = torch.cdist(first.double(), second.double()).square()
    np.testing.assert_allclose(found, expected, atol=1e-5)
