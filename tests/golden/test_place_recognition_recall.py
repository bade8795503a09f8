"""Golden parity of positives, recalls and the merging of crops."""

import numpy as np
import pytest

from cirtorch.search.exact import Search
from mdir.scores.measures.place_recall import (
    all_first_hits,
    first_hits,
    merge_crops,
    padded,
    positives_within,
    recall_text,
    recalls,
)
from tests.golden import golden

TOPIC = "place_recognition"
METHODS = ("hard_resize", "five_crops", "nearest_crop", "maj_voting")


def cases(name):
    return golden.load_npz(TOPIC, name).get("cases", np.array([])).tolist()


def lists(arrays, ending=""):
    ends = arrays[f"pos_ptr{ending}"]
    return np.split(arrays[f"pos_idx{ending}"], ends[1:-1])


@pytest.mark.parametrize("case", cases("positives.npz"))
def test_positives(case):
    arrays = golden.needed_npz(TOPIC, "positives.npz")
    found = positives_within(
        arrays[f"db_utm_{case}"], arrays[f"q_utm_{case}"], float(arrays[f"threshold_{case}"])
    )
    expected = lists(arrays, f"_{case}")
    assert [one.tolist() for one in found] == [one.tolist() for one in expected]


@pytest.mark.parametrize("case", cases("recall.npz"))
@pytest.mark.parametrize("engine", ["exact", "faiss"])
def test_recall(case, engine):
    if engine == "faiss":
        pytest.importorskip("faiss")
    arrays = golden.needed_npz(TOPIC, "recall.npz")
    database, queries, expected = (arrays[f"{x}_{case}"] for x in ("db", "q", "predictions"))
    values = arrays[f"recall_values_{case}"].tolist()
    positives = positives_within(
        arrays[f"db_utm_{case}"], arrays[f"q_utm_{case}"], float(arrays[f"threshold_{case}"])
    )
    assert [p.tolist() for p in positives] == [p.tolist() for p in lists(arrays, f"_{case}")]
    _, found = Search(database, engine, metric="l2").search(queries, max(values))
    predictions = padded(found, max(values))
    np.testing.assert_array_equal(predictions, expected)
    first = all_first_hits(database, queries, predictions, positives)
    np.testing.assert_array_equal(first, arrays[f"first_hit_{case}"])
    shares = recalls(first, values)
    np.testing.assert_allclose(
        [100 * share for share in shares], arrays[f"recalls_{case}"], atol=1e-9
    )
    assert recall_text(values, shares) == str(arrays[f"text_{case}"])
    answerable = np.array([len(one) > 0 for one in positives])
    np.testing.assert_allclose(
        [100 * share for share in recalls(first[answerable], values)],
        arrays[f"recalls_valid_{case}"],
        atol=1e-9,
    )


@pytest.mark.parametrize("method", METHODS)
def test_crops(method):
    arrays = golden.needed_npz(TOPIC, "crops.npz")
    crops, values = arrays["q_crops"], arrays["recall_values"].tolist()
    expected = arrays[f"predictions_{method}"]
    count, index = expected.shape[1], Search(arrays["db"], metric="l2")
    if method == "hard_resize":
        _, found = index.search(crops[:, 0], count)
    elif method == "five_crops":
        _, found = index.search(crops.mean(axis=1), count)
    else:
        scores, found = index.search(crops.reshape(-1, crops.shape[2]), count)
        shape = (len(crops), crops.shape[1], -1)
        weight = float(arrays["majority_weight"]) if method == "maj_voting" else None
        _, found = merge_crops(-scores.reshape(shape), found.reshape(shape), count, weight)
    np.testing.assert_array_equal(found, expected)
    shares = recalls(first_hits(found, lists(arrays)), values)
    np.testing.assert_allclose(
        [100 * share for share in shares], arrays[f"recalls_{method}"], atol=1e-9
    )
