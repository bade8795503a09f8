"""Losses on tuples against loops over their definition."""

import pytest
import torch

from mdir import registry

dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def tuples(dtype, sizes=(5, 5, 5)):
    """Descriptors ``[8, N]`` and the labels of each tuple."""
    torch.manual_seed(sum(sizes))
    x = torch.nn.functional.normalize(torch.randn(8, sum(sizes), dtype=dtype), dim=0)
    return x, [torch.tensor([-1.0, 1.0] + [0.0] * (size - 2)) for size in sizes]


def build(**section):
    return registry.build("criterion", section)


def naive_contrastive(x, labels, margin):
    total, column = 0.0, 0
    for label in labels:
        query = column
        for offset, y in enumerate(label.tolist()):
            if y != -1:
                distance = (
                    sum(
                        (a - b + 1e-6) ** 2
                        for a, b in zip(x[:, query], x[:, column + offset], strict=True)
                    )
                    ** 0.5
                )
                total += 0.5 * distance**2 if y == 1 else 0.5 * max(margin - distance, 0) ** 2
        column += len(label)
    return float(total)


def naive_triplet(x, labels, margin):
    total, column = 0.0, 0
    for label in labels:
        query, positive = x[:, column], x[:, column + 1]
        for offset in range(2, len(label)):
            negative = x[:, column + offset]
            difference = ((query - positive) ** 2).sum() - ((query - negative) ** 2).sum()
            total += max(float(difference) + margin, 0)
        column += len(label)
    return total


@dtypes
@pytest.mark.parametrize("margin", [0.3, 0.7, 1.5])
def test_contrastive(dtype, margin):
    x, labels = tuples(dtype)
    value = build(loss="contrastive", margin=margin, eps=1e-3)(x, labels)
    assert value.item() == pytest.approx(naive_contrastive(x, labels, margin), rel=1e-5)
    assert value.dtype == dtype


@dtypes
@pytest.mark.parametrize("margin", [0.1, 1.0])
def test_triplet(dtype, margin):
    x, labels = tuples(dtype)
    value = build(loss="triplet", margin=margin)(x, torch.cat(labels))
    assert value.item() == pytest.approx(naive_triplet(x, labels, margin), rel=1e-4)


@dtypes
def test_several_descriptors(dtype):
    x, labels = tuples(dtype)
    descriptors = [x, 0.5 * x]
    expected = [naive_contrastive(d, labels, 0.7) for d in descriptors]
    loss = build(loss="contrastive_multidesc", margin=0.7)(descriptors, labels)
    assert [name for name, _ in loss] == ["total", "0", "1"]
    assert loss.item() == pytest.approx(sum(expected) / 2, rel=1e-5)
    weighted = build(loss="contrastive_multidesc", margin=0.7, weights=[1, 3])(descriptors, labels)
    assert weighted.item() == pytest.approx(expected[0] + 3 * expected[1], rel=1e-5)


def test_labels_of_a_batch_in_every_form():
    x, labels = tuples(torch.float32)
    criterion = build(loss="contrastive", margin=0.7)
    forms = [labels, torch.cat(labels), torch.stack(labels)]
    assert len({criterion(x, form).item() for form in forms}) == 1


def test_sums_and_mistakes():
    for name in ("contrastive", "triplet", "contrastive_multidesc"):
        assert build(loss=name).reduction == "sum"
    with pytest.raises(registry.ComponentError, match="numbers separated by commas"):
        build(loss="contrastive_multidesc", weights="1;2")
    with pytest.raises(ValueError):
        build(loss="contrastive")(torch.zeros(2, 3), torch.zeros(3))
