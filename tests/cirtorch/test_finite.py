"""Descriptors that cannot be compared."""

import numpy as np
import pytest
import torch

from cirtorch.utils.errors import DataError
from cirtorch.utils.finite import require_finite

NAMES = [f"{number}.jpg" for number in range(9)]


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
def test_how_many_and_which_are_no_numbers(broken):
    rows = torch.rand(9, 4)
    require_finite(rows, NAMES)
    rows[[2, 5], [0, 3]] = broken
    with pytest.raises(DataError, match=r"^set: .* of 2 of 9 images \(2\.jpg, 5\.jpg\) are NaN"):
        require_finite(rows.numpy(), NAMES, "set")
    rows[:] = broken
    with pytest.raises(DataError, match=r"9 of 9 images \(0, 1, 2, 3, 4, \.\.\.\)"):
        require_finite(rows)


def test_descriptors_without_a_direction_are_told(capsys):
    rows = np.random.RandomState(0).rand(9, 4)
    require_finite(rows, NAMES)
    assert capsys.readouterr().err == ""
    rows[7] = 0
    require_finite(rows, NAMES, "set")
    assert capsys.readouterr().err == (
        "Warning: set: the descriptors of 1 of 9 images (7.jpg) are zero, as similar to one image "
        "as to any other\n"
    )
    require_finite(np.ones((3, 2)))
    assert "of all 3 images are equal" in capsys.readouterr().err
    require_finite(np.ones((1, 2)))
    require_finite(np.ones((0, 2)))
    assert capsys.readouterr().err == ""
