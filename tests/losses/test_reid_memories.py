"""Memories of SpCL and Cluster Contrast against loops written for clarity."""

import math

import pytest
import torch
import torch.nn.functional as F

from mdir.losses.cluster_memory import ClusterMemoryLoss
from mdir.losses.hybrid_memory import HybridMemoryLoss
from mdir.losses.row_memory import occurrences
from tests.losses.test_contrastive_losses import DTYPES, unit_rows

LABELS = torch.tensor([0, 1, 2, 5, 5, 2, 8, 5, 9])  # 3, 4, 6 and 7 are empty
PLACES = torch.tensor([4, 0, 4, 7, 0, 4])


def hybrid(dtype=torch.float64, **params):
    memory = HybridMemoryLoss(**params)
    memory.start(unit_rows(len(LABELS), 6, dtype, 0), LABELS)
    return memory


def cluster(dtype=torch.float64, **params):
    memory = ClusterMemoryLoss(**params)
    memory.start(unit_rows(4, 6, dtype, 0))
    return memory


def naive_refresh(rows, places, x, momentum):
    rows = rows.clone()
    for place, new in zip(places.tolist(), x, strict=True):
        rows[place] = momentum * rows[place] + (1 - momentum) * new
        rows[place] /= rows[place].norm()
    return rows


def naive_hybrid(x, places, features, labels, temperature):
    total = 0.0
    for row, place in zip(x, places.tolist(), strict=True):
        weights = {}
        for cluster in set(labels.tolist()):
            members = [float(row @ f) / temperature for f in features[labels == cluster]]
            weights[cluster] = math.exp(sum(members) / len(members))
        chance = weights[int(labels[place])] / (sum(weights.values()) + 1e-6)
        total -= math.log(chance + 1e-6)
    return total / len(x)


@pytest.mark.parametrize("dtype, tolerance", DTYPES)
def test_hybrid_is_the_loop(dtype, tolerance):
    memory = hybrid(dtype, temperature=0.1, momentum=0.3)
    for step in range(3):
        x, before = unit_rows(len(PLACES), 6, dtype, 10 + step), memory.features.clone()
        expected = naive_hybrid(x, PLACES, before, LABELS, 0.1)
        assert memory(x, PLACES).item() == pytest.approx(expected, rel=tolerance)
        assert torch.equal(memory.features, before)  # nothing moves before it is told to
        memory.enqueue(x, PLACES)
        expected = naive_refresh(before, PLACES, x, 0.3)
        torch.testing.assert_close(memory.features, expected, atol=tolerance, rtol=0)


def test_hybrid_gradient_is_that_of_the_loop():
    memory = hybrid(temperature=0.1)
    x = unit_rows(len(PLACES), 6, torch.float64, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: memory(rows, PLACES), (x,))


def test_hybrid_survives_long_outputs():
    """Dropout makes rows longer than one; exponents of theirs would overflow as published."""
    x = 50 * unit_rows(2, 6, torch.float32, 1)
    assert torch.isfinite(hybrid(torch.float32)(x, PLACES[:2]))


def test_hybrid_labels_change():
    memory = hybrid(temperature=0.1)
    labels = torch.tensor([0, 1, 2, 3, 3, 3, 3, 3, 12])
    memory.relabel(labels)
    x = unit_rows(2, 6, torch.float64, 1)
    expected = naive_hybrid(x, PLACES[:2], memory.features, labels, 0.1)
    assert memory(x, PLACES[:2]).item() == pytest.approx(expected, rel=1e-9)
    for wrong in (labels[:-1], labels - 1):
        with pytest.raises(ValueError, match="9 rows need as many labels of 0 or more"):
            memory.relabel(wrong)


def flowing_back(products, places, temperature):
    """The gradient of the hybrid loss in the similarities to all rows."""
    products = products.detach().requires_grad_()
    ids = LABELS.unique()
    means = torch.stack([products[:, one == LABELS].mean(dim=1) for one in ids], dim=1)
    weights = (means / temperature).exp()
    chances = weights / (weights.sum(dim=1, keepdim=True) + 1e-6)
    own = (LABELS[places][:, None] == ids).long().argmax(dim=1)
    loss = -(chances.gather(1, own[:, None]) + 1e-6).log().mean()
    return torch.autograd.grad(loss, products)[0]


@pytest.mark.parametrize("gradients", ["forward", "published"])
def test_which_memory_gradients_are_taken_against(gradients):
    memory = hybrid(temperature=0.5, gradients=gradients)
    before = memory.features.clone()
    first, second = (unit_rows(3, 6, torch.float64, seed).requires_grad_() for seed in (1, 2))
    places = torch.tensor([0, 1, 4]), torch.tensor([7, 8, 7])
    (memory(first, places[0]) + memory(second, places[1])).backward()
    changed = naive_refresh(before, places[1], second.detach(), 0.2)
    # the second call's backward pass comes first
    late = before if gradients == "forward" else changed
    flow = flowing_back(first @ before.T, places[0], 0.5)
    torch.testing.assert_close(first.grad, flow @ late)
    flow = flowing_back(second @ before.T, places[1], 0.5)
    torch.testing.assert_close(second.grad, flow @ before)
    assert torch.equal(memory.features, before) == (gradients == "forward")
    memory.enqueue(first, places[0])
    memory.enqueue(second, places[1])
    expected = naive_refresh(changed, places[0], first.detach(), 0.2)
    torch.testing.assert_close(memory.features, expected)


@pytest.mark.parametrize("update", ["plain", "hard"])
@pytest.mark.parametrize("dtype, tolerance", DTYPES)
def test_cluster_is_the_loop(dtype, tolerance, update):
    memory = cluster(dtype, temperature=0.2, momentum=0.3, update=update)
    labels = torch.tensor([2, 0, 2, 2, 0, 3])
    for step in range(3):
        x, before = 3 * unit_rows(6, 6, dtype, 10 + step), memory.features.clone()
        u, expected = F.normalize(x, dim=1), 0.0
        for row, label in zip(u, labels.tolist(), strict=True):
            logits = [float(row @ center) / 0.2 for center in before]
            expected += math.log(sum(map(math.exp, logits))) - logits[label]
        assert memory(x, labels).item() == pytest.approx(expected / 6, rel=tolerance)
        memory.enqueue(x, labels)
        chosen = list(range(6))
        if update == "hard":
            chosen = [
                min((b for b in range(6) if labels[b] == label), key=lambda b: float(u[b] @ center))
                for label, center in enumerate(before)
                if label in labels
            ]
        expected = naive_refresh(before, labels[chosen], u[chosen], 0.3)
        torch.testing.assert_close(memory.features, expected, atol=tolerance, rtol=0)
        assert torch.equal(memory.features[1], before[1])


def test_the_first_of_equally_hard_images_counts():
    memory = ClusterMemoryLoss(momentum=0.5, update="hard")
    memory.start(torch.tensor([[1.0, 0, 0]]))
    memory.enqueue(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]), torch.zeros(3).long())
    torch.testing.assert_close(memory.features[0], torch.tensor([1, 1, 0]) / 2**0.5)


def test_occurrences():
    assert occurrences(torch.tensor([7, 3, 7, 7, 0, 3])).tolist() == [0, 0, 1, 2, 0, 1]
    assert occurrences(torch.tensor([], dtype=torch.long)).tolist() == []
    many = torch.randint(0, 3, (2000,), generator=torch.Generator().manual_seed(0)).tolist()
    expected = [many[:at].count(value) for at, value in enumerate(many)]
    assert occurrences(torch.tensor(many)).tolist() == expected


@pytest.mark.parametrize("make", [hybrid, cluster])
def test_float32_under_autocast(make):
    """Backward passes run under autocast as well."""
    places, results = torch.tensor([3, 0, 3]), []
    for enabled in (False, True):
        memory = make(torch.float32)
        x = unit_rows(3, 6, torch.float32, 1).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = memory(x, places)
            loss.backward()
            memory.enqueue(x, places)
        results.append((loss.detach(), x.grad, memory.features))
    for plain, mixed in zip(*results, strict=True):
        assert mixed.dtype == torch.float32
        torch.testing.assert_close(mixed, plain, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("make", [hybrid, cluster])
def test_a_restart_goes_on(make):
    first = make()
    x, places = unit_rows(3, 6, torch.float64, 1), torch.tensor([3, 0, 3])
    first.enqueue(x, places)
    second = type(first)()
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(x, places), first(x, places))
    second.enqueue(x, places)
    first.enqueue(x, places)
    assert torch.equal(second.features, first.features)


@pytest.mark.parametrize("make", [hybrid, cluster])
@pytest.mark.parametrize("wrong", [-1, 99])
def test_places_outside_are_refused(make, wrong):
    places = torch.tensor([0, wrong, 1])
    with pytest.raises(ValueError, match=r"in a memory of \d"):
        make()(unit_rows(3, 6, torch.float64, 1), places)
