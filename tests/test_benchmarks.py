"""The benchmarks run, and their twins agree; times are not tested."""

import pytest

from benchmarks import retrieval

LARGEST_DIFFERENCE = {"extraction": 1e-5, "map": 1e-15, "whitening": 1e-6}


@pytest.mark.parametrize("part", ["mining", "anchors", "map", "whitening", "search"])
def test_twins_agree(part, capsys):
    ((_, ratio, difference),) = retrieval.main([part, "--scale", "0.02"])
    assert ratio > 0 and difference <= LARGEST_DIFFERENCE.get(part, 0)
    assert "times as fast" in capsys.readouterr().out


def test_extraction_agrees(tmp_path):
    _, _, difference = retrieval.extraction(0.01, tmp_path, "squeezenet1_1", (1, 0.8))
    assert difference <= LARGEST_DIFFERENCE["extraction"]
