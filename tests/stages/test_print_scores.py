"""Step print_scores: exact text, and no torch."""

import subprocess
import sys

import pytest

from mdir.registry import ComponentError
from mdir.stages.print_scores import print_scores


def test_text(capsys):
    evaluation = {
        "247tokyo1k/validation/score_avg:map": 0.90234,
        "roxford5k/validation/score_avg:map_medium": 0.6,
    }
    assert print_scores({"metadata": {"eval": evaluation, "second": {}}}) == ({},)
    assert capsys.readouterr().out == (
        "\nEval\n\n    247tokyo.1k          90.23\n    roxford.5k medium    60.0\n\n\nSecond\n\n\n"
    )


def test_intervals_stand_for_themselves(capsys):
    ends = {
        "247tokyo1k/validation/score_avg:map": [0.85, 0.93456],
        "toy/validation/score_avg:map": "one query alone",
        "toy/validation/score_avg:top1": [0.1, 0.2],
    }
    print_scores({"metadata": {"intervals": ends}})
    assert capsys.readouterr().out == (
        "\nIntervals\n\n    247tokyo.1k          85 to 93.46\n"
        "    toy/validation/score_avg:top1 0.1 to 0.2\n\n"
    )


def test_other_numbers_stand_below_under_their_own_names(capsys):
    evaluation = {
        "roxford5k/validation/score_avg:map_hard": 0.1,
        "roxford5k/validation/score_avg:map_medium": 0.6,
        "distance/validation/score_avg:fid": 123.456789012,
        "note": "no number",
        "images": 70,
        "nothing": None,
        "nan": float("nan"),
    }
    print_scores({"metadata": {"eval": evaluation}})
    assert capsys.readouterr().out == (
        "\nEval\n\n"
        "    roxford.5k medium    60.0\n"
        "    roxford5k/validation/score_avg:map_hard 0.1\n"
        "    distance/validation/score_avg:fid 123.45678901\n"
        "    images               70\n"
        "    nan                  nan\n\n"
    )


def test_distances_have_eight_digits(capsys):
    print_scores({"metadata": {"x": {"val/validation/loss_avg:dist_a": 0.1234567891}}})
    assert "    dist_a               0.12345679\n" in capsys.readouterr().out


@pytest.mark.parametrize("params", [{}, {"metadata": 1}, {"metadata": {"a": 1}}, {"meta": {}}])
def test_bad_parameters(params):
    with pytest.raises(ComponentError):
        print_scores(params)


def test_does_not_load_torch():
    code = "import sys, mdir.stages.print_scores; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
