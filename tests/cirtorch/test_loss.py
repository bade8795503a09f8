"""Tuple losses against double loops, values and gradients."""

import pytest
import torch

from cirtorch.layers.functional import contrastive_loss, triplet_loss
from cirtorch.layers.loss import ContrastiveLoss, TripletLoss


def naive_contrastive(x, label, margin):
    total, query = 0, None
    for j, y in enumerate(label.tolist()):
        if y == -1:
            query = x[:, j]
            continue
        distance = ((query - x[:, j] + 1e-6) ** 2).sum() ** 0.5
        total = total + 0.5 * y * distance**2
        total = total + 0.5 * (1 - y) * torch.relu(margin - distance) ** 2
    return total


def naive_triplet(x, label, margin):
    total = 0
    for j, y in enumerate(label.tolist()):
        if y == -1:
            query, positive = x[:, j], x[:, j + 1]
        if y == 0:
            gap = ((query - positive) ** 2).sum() - ((query - x[:, j]) ** 2).sum()
            total = total + torch.relu(gap + margin)
    return total


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("negatives", [1, 4])
@pytest.mark.parametrize(
    "loss, naive", [(contrastive_loss, naive_contrastive), (triplet_loss, naive_triplet)]
)
def test_loss_and_gradient_equal_the_loop(loss, naive, negatives, dtype):
    torch.manual_seed(negatives)
    label = torch.tensor(([-1.0, 1.0] + [0.0] * negatives) * 3)
    x = torch.nn.functional.normalize(torch.randn(6, len(label), dtype=dtype), dim=0)
    x = x.requires_grad_()
    value, expected = loss(x, label, margin=1.1), naive(x, label, 1.1)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(
        torch.autograd.grad(value, x)[0], torch.autograd.grad(expected, x)[0]
    )
    parts = list(label.split(2 + negatives))
    torch.testing.assert_close(loss(x, parts, margin=1.1), value)


def test_layers():
    torch.manual_seed(0)
    x, label = torch.randn(4, 6), torch.tensor([-1, 1, 0, -1, 1, 0])
    assert torch.equal(ContrastiveLoss()(x, label), contrastive_loss(x, label))
    assert torch.equal(TripletLoss(0.3)(x, label), triplet_loss(x, label, 0.3))
    assert repr(ContrastiveLoss()) == "ContrastiveLoss(margin=0.7000)"
    assert repr(TripletLoss()) == "TripletLoss(margin=0.1000)"


def test_the_query_may_stand_anywhere_in_its_tuple():
    x = torch.randn(4, 6)
    first = contrastive_loss(x, torch.tensor([-1, 1, 0, -1, 1, 0]))
    moved = contrastive_loss(x[:, [1, 0, 2, 4, 5, 3]], torch.tensor([1, -1, 0, 1, 0, -1]))
    torch.testing.assert_close(first, moved)


@pytest.mark.parametrize("label", [[1, 0, 0], [-1, -1, 0], [-1, 1]])
def test_broken_tuples_are_told(label):
    with pytest.raises(ValueError, match="tuple"):
        contrastive_loss(torch.randn(4, 3), torch.tensor(label))


def test_triplets_need_one_positive():
    with pytest.raises(ValueError, match="exactly one positive"):
        triplet_loss(torch.randn(4, 4), torch.tensor([-1, 1, 1, 0]))
