"""Arithmetic of losses with parts."""

import pytest
import torch

from mdir.losses.value import ZERO, LossValue, as_named


def value(total, **parts):
    return LossValue(torch.tensor(total), {k: torch.tensor(v) for k, v in parts.items()})


def numbers(loss):
    return {name: float(item) for name, item in loss}


def test_numbers_scale_total_and_parts():
    loss = value(6.0, a=2.0, b=4.0)
    assert numbers(2 * loss) == numbers(loss * 2) == {"total": 12, "a": 4, "b": 8}
    assert numbers(loss / 2) == {"total": 3, "a": 1, "b": 2}
    assert numbers(-loss) == {"total": -6, "a": -2, "b": -4}


def test_equal_parts_add_and_subtract():
    first, second = value(6.0, a=2.0, b=4.0), value(1.0, a=0.5, b=0.5)
    assert numbers(first + second) == {"total": 7, "a": 2.5, "b": 4.5}
    assert numbers(first - second) == {"total": 5, "a": 1.5, "b": 3.5}


def test_other_parts_are_refused():
    with pytest.raises(ValueError, match=r"\['a'\].*\['b'\]"):
        value(1.0, a=1.0) + value(1.0, b=1.0)


@pytest.mark.parametrize("operation", [lambda x: x + 1, lambda x: 1 + x, lambda x: x - 1])
def test_plain_numbers_are_not_added(operation):
    with pytest.raises(TypeError):
        operation(value(1.0, a=1.0))


def test_with_a_tensor_only_the_total_is_left():
    loss, tensor = value(6.0, a=2.0), torch.tensor(1.0)
    for result, expected in ((loss + tensor, 7), (tensor + loss, 7), (loss - tensor, 5)):
        assert isinstance(result, torch.Tensor)
        assert float(result) == expected
    assert float(tensor - loss) == -5


def test_nested_values_are_flattened():
    outer = LossValue(torch.tensor(3.0), {"x": value(1.0, a=0.25), "y": torch.tensor(2.0)})
    assert numbers(outer) == {"total": 3, "x": 1, "x.a": 0.25, "y": 2}


def test_zero_is_neutral():
    loss = value(2.0, a=2.0)
    assert ZERO + loss is loss
    assert loss + ZERO is loss
    assert numbers(ZERO - loss) == {"total": -2, "a": -2}
    assert ZERO * loss is ZERO
    assert ZERO / 3 is ZERO
    assert sum([loss, loss], ZERO).item() == 4


def test_reading():
    loss = value(2.0, a=1.5)
    assert loss.item() == float(loss) == 2.0
    assert list(as_named(loss)) == ["total", "a"]
    assert list(as_named(torch.tensor(1.0))) == ["total"]


def test_gradients_come_from_the_total():
    x = torch.tensor(3.0, requires_grad=True)
    loss = LossValue(x * x, {"double": 2 * x})
    loss.backward()
    assert float(x.grad) == 6
    assert not loss.detach().total.requires_grad
