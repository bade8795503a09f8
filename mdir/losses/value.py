"""A loss with a total, which is minimised, and named parts, which are logged."""

from collections.abc import Iterator

import torch


class LossValue:
    """A total and its ordered parts.

    Numbers scale the total and every part. Two values with the same part names add part by part;
    adding a plain tensor leaves the parts behind and gives ``total + tensor``. Iteration yields
    ``(name, value)`` with ``"total"`` first.

    Args:
        total: 0-dimensional tensor, the number to minimise.
        parts: name -> 0-dimensional tensor or another LossValue, which is flattened to ``name``
            (its total) and ``name.inner`` for each of its parts.
    """

    def __init__(self, total: torch.Tensor, parts: dict | None = None):
        self.total = total
        self.parts = {}
        for name, value in (parts or {}).items():
            if isinstance(value, LossValue):
                self.parts[name] = value.total
                self.parts.update((f"{name}.{inner}", part) for inner, part in value.parts.items())
            else:
                self.parts[name] = value

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        yield "total", self.total
        yield from self.parts.items()

    def __add__(self, other):
        if other is ZERO:
            return self
        return self._combine(other, lambda a, b: a + b)

    __radd__ = __add__

    def __sub__(self, other):
        if other is ZERO:
            return self
        return self._combine(other, lambda a, b: a - b)

    def __rsub__(self, other):
        return -1 * self + other

    def __mul__(self, factor):
        return self._scale(factor, lambda a, b: a * b)

    __rmul__ = __mul__

    def __truediv__(self, divisor):
        return self._scale(divisor, lambda a, b: a / b)

    def __neg__(self):
        return -1 * self

    def __float__(self) -> float:
        return self.item()

    def __repr__(self) -> str:
        return f"LossValue({', '.join(f'{name}={float(value):g}' for name, value in self)})"

    def item(self) -> float:
        """The total as a Python number (waits for the device)."""
        return self.total.item()

    def backward(self, **options) -> None:
        """Gradients of the total."""
        self.total.backward(**options)

    def detach(self) -> "LossValue":
        """The same numbers without their graph."""
        return LossValue(
            self.total.detach(), {name: part.detach() for name, part in self.parts.items()}
        )

    def _combine(self, other, operation):
        if isinstance(other, torch.Tensor):
            return operation(self.total, other)
        if not isinstance(other, LossValue):
            return NotImplemented
        if list(self.parts) != list(other.parts):
            raise ValueError(
                f"losses of different parts cannot be added: {list(self.parts)} and "
                f"{list(other.parts)}"
            )
        parts = {name: operation(part, other.parts[name]) for name, part in self.parts.items()}
        return LossValue(operation(self.total, other.total), parts)

    def _scale(self, number, operation):
        if isinstance(number, torch.Tensor):
            return operation(self.total, number)
        if isinstance(number, LossValue):
            return self._combine(number, operation)
        if not isinstance(number, (int, float)):
            return NotImplemented
        parts = {name: operation(part, number) for name, part in self.parts.items()}
        return LossValue(operation(self.total, number), parts)


class _Zero:
    """The neutral element: a start for sums whose parts are not known yet."""

    def __add__(self, other):
        return other

    __radd__ = __add__

    def __sub__(self, other):
        return other if other is self else -1 * other

    def __mul__(self, other):
        return self

    __rmul__ = __truediv__ = __mul__

    def __repr__(self):
        return "ZERO"


ZERO = _Zero()


def as_named(loss) -> dict[str, torch.Tensor]:
    """``{"total": ..., part: ...}`` of a LossValue or of a plain tensor."""
    return dict(loss) if isinstance(loss, LossValue) else {"total": loss}
