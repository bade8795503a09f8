"""SuperGlobal re-ranking against the published code."""

import numpy as np
import pytest
import torch

from mdir.scores.measures.superglobal import superglobal
from mdir.scores.reranking import Reranking
from tests.golden import golden

ARRAYS = golden.load_npz("place_recognition", "superglobal.npz")
CASES = [str(case) for case in ARRAYS.get("cases", ())]


def test_cases_are_there():
    golden.needs("place_recognition", "superglobal.npz")
    assert CASES


@pytest.mark.parametrize("case", CASES)
def test_each_stage(case):
    top, neighbours, beta = ARRAYS[f"cfg_{case}"].tolist()
    database = torch.from_numpy(ARRAYS[f"db_{case}"])
    first = ARRAYS[f"ranks0_{case}"][: int(top)].T
    for number, query in enumerate(torch.from_numpy(ARRAYS[f"q_{case}"])):
        found = superglobal(query, database[first[number]], int(neighbours), beta)
        stages = {"refined": found.rows, "score1": found.first, "score2": found.second}
        for name, values in stages.items():
            expected = ARRAYS[f"{name}_{case}"][number]
            np.testing.assert_allclose(values, expected, rtol=0, atol=1e-5)
        assert (
            first[number][found.first_order].tolist() == ARRAYS[f"ranks1_{case}"][number].tolist()
        )


@pytest.mark.parametrize("case", CASES)
def test_rankings(case):
    top, neighbours, beta = ARRAYS[f"cfg_{case}"].tolist()
    options = {"top": int(top), "neighbours": int(neighbours), "beta": beta}
    queries, database = ARRAYS[f"q_{case}"], ARRAYS[f"db_{case}"]
    plain = Reranking({}).search(queries, database, len(database)).indices
    assert plain.T.tolist() == ARRAYS[f"ranks0_{case}"].tolist()
    found = Reranking({"superglobal": options}).search(queries, database, len(database)).indices
    assert found.T.tolist() == ARRAYS[f"ranks_{case}"].tolist()
