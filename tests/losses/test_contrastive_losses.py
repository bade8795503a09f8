"""Contrastive losses against loops written for clarity."""

import math

import pytest
import torch
import torch.nn.functional as F

from mdir.losses.moco import MoCoLoss
from mdir.losses.npid import NPIDLoss
from mdir.losses.proxies import ProxyAnchorLoss, SoftTripleLoss
from mdir.losses.simclr import DaCoLoss, OSSCoLoss, simclr_loss
from mdir.losses.simsiam import SimSiamLoss

DTYPES = [(torch.float32, 1e-5), (torch.float64, 1e-12)]


def unit_rows(rows, columns, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, columns, generator=generator, dtype=dtype), dim=1)


def naive_simclr(p, q, temperature):
    rows = [*p.tolist(), *q.tolist()]
    size = len(p)

    def similarity(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True)) / temperature

    total = 0.0
    for i, row in enumerate(rows):
        numerator = similarity(rows[i % size], rows[size + i % size])
        others = [math.exp(similarity(row, other)) for j, other in enumerate(rows) if j != i]
        total += math.log(sum(others)) - numerator
    return total / len(rows)


@pytest.mark.parametrize("dtype, tolerance", DTYPES)
def test_simclr_is_the_loop(dtype, tolerance):
    p, q = unit_rows(5, 7, dtype, 0), unit_rows(5, 7, dtype, 1)
    assert simclr_loss(p, q, 0.2).item() == pytest.approx(naive_simclr(p, q, 0.2), rel=tolerance)


def test_simclr_survives_tiny_temperatures():
    p, q = unit_rows(4, 8, torch.float32, 0), unit_rows(4, 8, torch.float32, 1)
    assert torch.isfinite(simclr_loss(p, q, 0.001))


@pytest.mark.parametrize("dtype, tolerance", DTYPES)
def test_daco_and_ossco_are_sums_of_pairs(dtype, tolerance):
    o1, o2, g1, g2 = (unit_rows(4, 6, dtype, seed) for seed in range(4))
    within = naive_simclr(o1, o2, 0.1) + naive_simclr(g1, g2, 0.1)
    across = naive_simclr(o1, g1, 0.1) + naive_simclr(o1, g2, 0.1)
    daco = DaCoLoss(temperature=0.1, lamda=0.3)(o1, o2, g1, g2)
    assert daco.item() == pytest.approx(within + 0.3 * across, rel=tolerance)
    ossco = OSSCoLoss(temperature=0.1)(o1, o2, g1)
    expected = naive_simclr(o1, o2, 0.1) + naive_simclr(o1, g1, 0.1)
    assert ossco.item() == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("dtype, tolerance", DTYPES)
def test_simsiam_is_the_loop_and_stops_gradients(dtype, tolerance):
    f1, f2, p1, p2 = (unit_rows(3, 5, dtype, seed).requires_grad_() for seed in range(4))
    loss = SimSiamLoss()(f1, f2, p1, p2)
    loss.backward()
    expected = -0.5 * sum(
        sum(p1[b, d].item() * f2[b, d].item() + p2[b, d].item() * f1[b, d].item() for d in range(5))
        for b in range(3)
    ) / 3  # fmt: skip
    assert loss.item() == pytest.approx(expected, rel=tolerance)
    assert f1.grad is None and f2.grad is None and p1.grad.any()


@pytest.mark.parametrize("dtype, tolerance", DTYPES)
def test_moco_is_the_loop_and_its_queue_a_shift(dtype, tolerance):
    criterion = MoCoLoss(temperature=0.2, negs=5).to(dtype)
    queue = unit_rows(5, 4, dtype, 9)
    criterion.set_queue(queue)
    for step in range(4):
        query, key = unit_rows(3, 4, dtype, step), unit_rows(3, 4, dtype, 10 + step)
        expected = 0.0
        for q, k in zip(query, key, strict=True):
            logits = [float(q @ row) / 0.2 for row in (k, *queue)]
            expected += math.log(sum(map(math.exp, logits))) - logits[0]
        assert criterion(query, key).item() == pytest.approx(expected / 3, rel=tolerance)
        criterion.enqueue(key)
        queue = torch.cat([queue, key])[-5:]
        assert torch.equal(criterion.queue, queue)


def test_moco_keeps_the_last_of_too_many_keys():
    criterion = MoCoLoss(negs=3)
    criterion.set_queue(unit_rows(3, 4, torch.float32, 0))
    keys = unit_rows(5, 4, torch.float32, 1)
    criterion.enqueue(keys)
    assert torch.equal(criterion.queue, keys[-3:])


@pytest.mark.parametrize("dtype, tolerance", DTYPES)
def test_npid_is_the_loop(dtype, tolerance):
    images, negs, temperature = 9, 6, 0.3
    criterion = NPIDLoss(temperature=temperature, negs=negs, momentum=0.25)
    criterion.bank = unit_rows(images, 5, dtype, 0)
    bank, z = criterion.bank.clone(), None
    for step in range(3):
        proj, positives = unit_rows(4, 5, dtype, 20 + step), torch.tensor([8, 0, 3, 5])
        index = criterion.draw(positives)
        assert index.shape == (4, negs + 1) and torch.equal(index[:, 0], positives)
        scores = [
            [math.exp(float(bank[j] @ p) / temperature) for j in row.tolist()]
            for row, p in zip(index, proj, strict=True)
        ]
        z = z or sum(map(sum, scores)) / (4 * (negs + 1)) * images
        noise, expected = negs / images, 0.0
        for row in scores:
            chances = [score / z for score in row]
            expected -= math.log(chances[0] / (chances[0] + noise))
            expected -= sum(math.log(noise / (chance + noise)) for chance in chances[1:])
        loss = criterion(proj, positives, index)
        assert loss.item() == pytest.approx(expected / 4, rel=max(tolerance, 1e-9))
        criterion.enqueue(proj, positives)
        for p, j in zip(proj, positives.tolist(), strict=True):
            bank[j] = F.normalize(0.25 * p + 0.75 * bank[j], dim=0)
        assert torch.allclose(criterion.bank, bank, atol=tolerance)


@pytest.mark.parametrize("make", [MoCoLoss, NPIDLoss])
def test_memories_survive_a_restart(make):
    first, second = make(negs=4), make(negs=4)
    if make is MoCoLoss:
        first.set_queue(unit_rows(4, 3, torch.float32, 0))
        first.enqueue(unit_rows(2, 3, torch.float32, 1))
    else:
        first.start(6, 3, torch.zeros(1))
        first(unit_rows(2, 3, torch.float32, 1), torch.tensor([0, 1]))
    second.load_state_dict(first.state_dict())
    for name, buffer in first.named_buffers():
        assert torch.equal(getattr(second, name), buffer), name


@pytest.mark.parametrize("dtype, tolerance", DTYPES)
def test_proxy_anchor_is_the_loop(dtype, tolerance):
    criterion = ProxyAnchorLoss()
    criterion.start(4, 3)
    criterion.to(dtype)
    proxies = F.normalize(criterion.loss.proxies.detach(), dim=1)
    embeddings, labels = unit_rows(5, 3, dtype, 0), [0, 0, 2, 3, 2]
    positive = negative = 0.0
    for c in range(4):
        similar = [float(x @ proxies[c]) for x in embeddings]
        inside = [s for s, label in zip(similar, labels, strict=True) if label == c]
        outside = [s for s, label in zip(similar, labels, strict=True) if label != c]
        if inside:
            positive += math.log(1 + sum(math.exp(32 * (0.1 - s)) for s in inside))
        negative += math.log(1 + sum(math.exp(32 * (s + 0.1)) for s in outside))
    expected = positive / len(set(labels)) + negative / 4
    loss = criterion(embeddings, torch.tensor(labels))
    assert loss.item() == pytest.approx(expected, rel=max(tolerance, 1e-5))


@pytest.mark.parametrize("dtype, tolerance", DTYPES)
def test_soft_triple_is_the_loop(dtype, tolerance):
    criterion = SoftTripleLoss(centers_per_class=2)
    criterion.start(3, 4)
    criterion.to(dtype)
    centers = F.normalize(criterion.loss.fc.detach(), dim=0).T.reshape(3, 2, 4)
    embeddings, labels = unit_rows(4, 4, dtype, 0), [0, 1, 2, 1]
    expected = 0.0
    for x, label in zip(embeddings, labels, strict=True):
        logits = []
        for c in range(3):
            s = [float(x @ center) for center in centers[c]]
            weights = [math.exp(10 * value) for value in s]
            relaxed = sum(w * v for w, v in zip(weights, s, strict=True)) / sum(weights)
            logits.append(20 * (relaxed - (0.01 if c == label else 0)))
        expected += math.log(sum(map(math.exp, logits))) - logits[label]
    loss = criterion(embeddings, torch.tensor(labels))
    assert loss.item() == pytest.approx(expected / 4, rel=max(tolerance, 1e-5))
