"""Ranges of numbers, and lists of names, as annotations: ``Annotated[int, at_least(1)]``."""

from collections.abc import Collection

from mdir.registry.annotations import Check
from mdir.registry.components import unknown


def one_of(what: str, names: Collection[str]) -> Check:
    """One of the names of something; the message tells the nearest one."""

    def check(value):
        if value not in names:
            raise ValueError(unknown(what, value, names))

    return Check(check)


def at_least(low: float) -> Check:
    """``low`` or more."""

    def check(value):
        if not value >= low:
            raise ValueError(f"expected {low} or more, got {value}")

    return Check(check)


def above(low: float) -> Check:
    """More than ``low``."""

    def check(value):
        if not value > low:
            raise ValueError(f"expected more than {low}, got {value}")

    return Check(check)


def from_below(low: float, high: float) -> Check:
    """``low`` or more, less than ``high``."""

    def check(value):
        if not low <= value < high:
            raise ValueError(f"expected {low} or more and less than {high}, got {value}")

    return Check(check)


def between(low: float, high: float) -> Check:
    """``low`` to ``high``, both included."""

    def check(value):
        if not low <= value <= high:
            raise ValueError(f"expected a number from {low} to {high}, got {value}")

    return Check(check)
