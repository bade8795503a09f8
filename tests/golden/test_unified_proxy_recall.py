"""Golden parity of the recall."""

import numpy as np
import pytest
import torch

from mdir.scores.measures.class_recall import class_scores
from tests.golden import golden


def test_cases_are_there():
    assert golden.needs("unified_proxy", "recall.npz")


@pytest.mark.parametrize("name", golden.files("unified_proxy", "recall*.npz"))
def test_recall(name):
    arrays = golden.load_npz("unified_proxy", name)
    ranks = arrays["ranks"].tolist()
    found = class_scores(torch.tensor(arrays["features"]), arrays["labels"], ranks)
    recalls = [found.recall(rank) for rank in ranks]
    np.testing.assert_allclose(recalls, arrays["f64_recall"], rtol=0, atol=1e-6)
