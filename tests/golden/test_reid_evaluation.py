"""Scores, distances and re-ranking against those of SpCL."""

import re

import numpy as np
import pytest
import torch

from mdir.scores.measures.cmc import distance_blocks, reid_scores
from mdir.scores.measures.rerank import reranked_blocks
from tests.golden import golden

EVALUATION = golden.load_npz("reid", "evaluation.npz")
RERANK = golden.load_npz("reid", "rerank.npz")
RERANKED = sorted(key for key in RERANK if re.match("rerank_(?!cfg_)", key))
PROTOCOLS = {
    "market": {},
    "default": {"first_match_break": False},
    "sepcam": {"separate_camera_set": True},
    "top": {},
    "cuhk03": {
        "separate_camera_set": True,
        "single_gallery_shot": True,
        "first_match_break": False,
    },
}
CURVES = sorted(key for key in EVALUATION if key.startswith("f64_cmc_"))


def scores(distances, **options):
    query, gallery = (
        (EVALUATION[f"{side}_ids"], EVALUATION[f"{side}_cams"]) for side in ("query", "gallery")
    )
    return reid_scores(np.array_split(distances, 4), query, gallery, **options)


def features():
    rows, count = torch.from_numpy(RERANK["x"]), int(RERANK["num_query"])
    return rows[:count], rows[count:]


def test_cases_are_there():
    golden.needs("reid", "evaluation.npz")
    golden.needs("reid", "rerank.npz")
    assert CURVES
    assert RERANKED


@pytest.mark.parametrize("ties", ["", "_ties"])
def test_mean_average_precision(ties):
    golden.needs("reid", "evaluation.npz")
    found = scores(EVALUATION[f"dist{ties}"])
    assert found.mean_ap == pytest.approx(float(EVALUATION[f"f64_mAP{ties}"]), abs=1e-9)
    skipped = [
        not np.any((EVALUATION["gallery_ids"] == identity) & (EVALUATION["gallery_cams"] != camera))
        for identity, camera in zip(EVALUATION["query_ids"], EVALUATION["query_cams"], strict=True)
    ]
    assert skipped[:2] == [True, True]
    np.testing.assert_array_equal(np.isnan(found.average_precision), skipped)


@pytest.mark.parametrize("name", CURVES)
def test_cmc(name):
    protocol, seed = re.match(r"f64_cmc_(cuhk03|[a-z]+)\d*(?:_seed(\d+))?$", name).groups()
    np.random.seed(int(seed or 0))
    found = scores(EVALUATION["dist"], topk=len(EVALUATION[name]), **PROTOCOLS[protocol]).cmc
    np.testing.assert_allclose(found, EVALUATION[name], rtol=0, atol=1e-9)


def test_distances():
    golden.needs("reid", "rerank.npz")
    queries, gallery = features()
    found = np.concatenate(list(distance_blocks(queries, gallery)))
    np.testing.assert_allclose(found, RERANK["d_qg"], rtol=0, atol=1e-4)
    found = np.concatenate(list(distance_blocks(torch.cat([queries, gallery]))))
    np.testing.assert_allclose(found, RERANK["d_full_single_arg"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", RERANKED)
def test_reranked(name):
    k1, k2, weight = RERANK[name.replace("_", "_cfg_", 1)]
    found = np.concatenate(list(reranked_blocks(*features(), int(k1), int(k2), weight)))
    np.testing.assert_allclose(found, RERANK[name], rtol=0, atol=1e-3)
