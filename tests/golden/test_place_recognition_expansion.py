"""Query expansion and database-side augmentation against naver's deep-image-retrieval."""

import numpy as np
import pytest

from mdir.scores.measures.expansion import augment_database, expand_queries
from tests.golden import golden

ARRAYS = golden.load_npz("place_recognition", "expansion.npz")
CASES = [str(case) for case in ARRAYS.get("cases", ())]


def test_cases_are_there():
    golden.needs("place_recognition", "expansion.npz")
    assert CASES


@pytest.mark.parametrize("case", CASES)
def test_expansion(case):
    queries, database = ARRAYS[f"q_{case}"], ARRAYS[f"db_{case}"]
    k, alpha, database_k, database_alpha = ARRAYS[f"cfg_{case}"].tolist()
    augmented = augment_database(database, int(database_k), database_alpha)
    after = expand_queries(queries, augmented, int(k), alpha)
    found = {
        "aqe": expand_queries(queries, database, int(k), alpha),
        "dba": augmented,
        "aqe_after_dba": after,
        "scores": after @ augmented.T,
    }
    for name, rows in found.items():
        np.testing.assert_allclose(rows, ARRAYS[f"{name}_{case}"], rtol=0, atol=1e-5)
