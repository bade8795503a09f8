"""Descriptors averaged over scales: sizes, the average by hand, whose exponent is taken."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cirtorch.layers.multiscale import average_scales, rescaled, scale_exponent
from cirtorch.utils.concatenate import paste_pca_normalize


@pytest.mark.parametrize(
    "scale, size", [(0.5, (3, 4)), (1, (6, 9)), (2**0.5, (8, 12)), (0.1, (1, 1))]
)
def test_sides_are_floored_and_never_empty(scale, size):
    assert rescaled(torch.rand(2, 3, 6, 9), scale).shape == (2, 3, *size)


def test_average_by_hand():
    vectors = [torch.tensor([[3.0], [0.0]]), torch.tensor([[1.0], [2.0]])]
    mean = torch.tensor([[5**0.5], [2**0.5]])  # of squares: 10 / 2 and 4 / 2
    torch.testing.assert_close(average_scales(vectors, 2), mean / 7**0.5)
    torch.testing.assert_close(average_scales(vectors), torch.tensor([[2.0], [1.0]]) / 5**0.5)


@pytest.mark.parametrize(
    "meta, scales, exponent",
    [
        ({"pooling": "gem"}, [1, 0.5], 2.5),
        ({"pooling": "gem", "regional": False, "whitening": False}, [1, 0.5], 2.5),
        ({"pooling": "gem"}, [1], 1),
        ({"pooling": "gem", "regional": True}, [1, 0.5], 1),
        ({"pooling": "gem", "whitening": True}, [1, 0.5], 1),
        ({"pooling": "mac"}, [1, 0.5], 1),
        ({}, [1, 0.5], 1),
    ],
)
def test_exponent_of_gem_where_nothing_follows(meta, scales, exponent):
    net = SimpleNamespace(meta=meta, pool=SimpleNamespace(p=torch.tensor([2.5])))
    assert scale_exponent(net, scales) == exponent


def test_descriptors_of_zeros_stay():
    vectors = torch.tensor([[3.0, 0.0], [4.0, 0.0]])
    expected = torch.tensor([[0.6, 0.0], [0.8, 0.0]])
    torch.testing.assert_close(average_scales([vectors, vectors]), expected)
    pasted = paste_pca_normalize([np.array([[3.0], [0.0]]), np.array([[4.0], [0.0]])])
    assert pasted.tolist() == [[0.6, 0.8], [0, 0]]
