"""Losses of cosines and proxies: against loops, the library, and what must be refused."""

import math

import pytest
import torch
from pytorch_metric_learning.losses import ProxyAnchorLoss
from torch.nn.functional import normalize

from mdir import registry
from mdir.errors import UserError
from mdir.learning.compute import Runtime
from mdir.losses.proxy_cosines import (
    BalancedProxyLoss,
    NormalizedSoftmaxLoss,
    ProxyAnchorCosineLoss,
    ProxyNCALoss,
)

LOSSES = ("proxy_anchor", "balanced_proxy", "normalized_softmax", "proxy_nca")
WITH_MARGIN = LOSSES[:2]
BATCHES = {
    "all_classes": [0, 1, 2, 3, 0, 1],
    "absent_classes": [3, 3, 1],
    "one_item": [2],
    "one_class": [1, 1, 1, 1],
    "uneven_classes": [0, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2],
}


def cosines_of(labels, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows, proxies = (
        normalize(torch.randn(n, 5, generator=generator, dtype=torch.float64), dim=1)
        for n in (len(labels), classes)
    )
    return (rows @ proxies.T).requires_grad_(), torch.tensor(labels)


def sums(cosines, labels, scale, margin):
    """P, N, and how many items each class has, by loops."""
    classes = range(cosines.shape[1])
    positive, negative, items = ([0.0] * len(classes) for _ in range(3))
    for item, label in enumerate(labels.tolist()):
        for k in classes:
            if k == label:
                items[k] += 1
                positive[k] += torch.exp(-scale * (cosines[item, k] - margin))
            else:
                negative[k] += torch.exp(scale * (cosines[item, k] + margin))
    return positive, negative, items


def by_loops(name, cosines, labels, scale=32.0, margin=0.1):
    batch, classes = cosines.shape
    if name in WITH_MARGIN:
        positive, negative, items = sums(cosines, labels, scale, margin)
    total = cosines.new_zeros(())
    if name == "proxy_anchor":
        for k in range(classes):
            total = total + torch.log(cosines.new_ones(()) + positive[k]) / sum(map(bool, items))
            total = total + torch.log(cosines.new_ones(()) + negative[k]) / classes
    elif name == "balanced_proxy":
        for k in range(classes):
            inner = positive[k] / max(items[k], 1) + negative[k] / max(batch - items[k], 1)
            total = total + torch.log(1 + inner) / classes
    else:
        for item, label in enumerate(labels.tolist()):
            powers = torch.exp(cosines[item] * (scale if name == "normalized_softmax" else 1))
            among = sum(powers[k] for k in range(classes) if name != "proxy_nca" or k != label)
            total = total - torch.log(powers[label] / among) / batch
    return total


CLOSE = {"rtol": 1e-8, "atol": 1e-12}  # torch's softplus is linear from 20 on


def outcome(function, cosines, labels):
    cosines = cosines.detach().requires_grad_()
    loss = function(cosines, labels)
    loss.backward()
    return loss.detach(), cosines.grad


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", LOSSES)
def test_against_loops(name, batch):
    cosines, labels = cosines_of(BATCHES[batch])
    criterion = registry.make("criterion", {"loss": name})
    expected = outcome(lambda c, y: by_loops(name, c, y), cosines, labels)
    torch.testing.assert_close(outcome(criterion, cosines, labels), expected, **CLOSE)


@pytest.mark.parametrize("name", WITH_MARGIN)
def test_scale_and_margin(name):
    cosines, labels = cosines_of(BATCHES["absent_classes"])
    criterion = registry.make("criterion", {"loss": name, "scale": "1e1", "margin": 0.3})
    expected = outcome(lambda c, y: by_loops(name, c, y, 10.0, 0.3), cosines, labels)
    torch.testing.assert_close(outcome(criterion, cosines, labels), expected, **CLOSE)


def test_proxy_anchor_is_that_of_the_library():
    torch.manual_seed(0)
    theirs = ProxyAnchorLoss(num_classes=7, embedding_size=16, margin=0.1, alpha=32)
    rows, labels = torch.randn(12, 16), torch.tensor([0, 1, 2, 2, 5, 5, 5, 1, 0, 0, 1, 5])
    cosines = normalize(rows, dim=1) @ normalize(theirs.proxies, dim=1).T
    assert ProxyAnchorCosineLoss()(cosines, labels).item() == pytest.approx(
        theirs(rows, labels).item(), rel=1e-5
    )


def test_the_alias():
    assert isinstance(registry.make("criterion", {"loss": "unified_proxy"}), BalancedProxyLoss)


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_computed_in_float32(name):
    cosines, labels = cosines_of(BATCHES["all_classes"])
    criterion = registry.make("criterion", {"loss": name})
    halves = cosines.detach().bfloat16()
    expected = criterion(halves.float(), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = criterion(halves, labels)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    Runtime(precision="bf16").keep_float32(criterion, torch.device("cpu"))
    assert torch.equal(criterion(halves, labels), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_exponents_that_float32_cannot_hold(name):
    cosines = torch.tensor([[-1.0, 1.0], [1.0, -1.0]])
    criterion = registry.make("criterion", {"loss": name})
    criterion.scale = 400.0
    loss, gradient = outcome(criterion, cosines, torch.tensor([0, 1]))
    assert loss.isfinite() and gradient.isfinite().all()
    if name == "proxy_anchor":
        assert loss.item() == pytest.approx(2 * 400 * 1.1)


def test_a_perfect_batch_of_proxy_nca():
    cosines = torch.tensor([[1.0, -1.0]])
    assert ProxyNCALoss()(cosines, torch.tensor([0])).item() == pytest.approx(-2.0)


def test_normalized_softmax_of_equal_cosines():
    loss = NormalizedSoftmaxLoss()(torch.zeros(2, 5), torch.tensor([4, 0]))
    assert loss.item() == pytest.approx(math.log(5))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 2, 3], "labels 1 to 3, but there are 3 proxies.*from 0 to 2; these seem to start at"),
        ([0, 2, 3], "labels 0 to 3, but there are 3 proxies: each class needs one.*from 0 to 2$"),
        ([-1, 0, 1], "labels -1 to 1, but there are 3 proxies"),
        ([0.0, 1.0, 2.0], "whole numbers, got torch.float32"),
        ([0, 1], r"got \[3, 3\] and \[2\]"),
    ],
)
def test_labels_that_are_no_classes(name, labels, message):
    criterion = registry.make("criterion", {"loss": name})
    with pytest.raises(UserError, match=message):
        criterion(torch.zeros(3, 3), torch.tensor(labels))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_cosines_that_are_no_numbers(name, value):
    cosines = torch.zeros(2, 3)
    cosines[1, 2] = value
    with pytest.raises(UserError, match="cosines are not finite"):
        registry.make("criterion", {"loss": name})(cosines, torch.tensor([0, 1]))


def test_empty_batches_and_single_proxies():
    with pytest.raises(UserError, match=r"got \[0, 3\] and \[0\]"):
        ProxyAnchorCosineLoss()(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
    with pytest.raises(UserError, match="1 proxy is not enough"):
        ProxyNCALoss()(torch.zeros(2, 1), torch.tensor([0, 0]))
