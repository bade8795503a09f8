"""The rows of an epoch that is not over, millions of numbers, as a checkpoint keeps them."""

import torch

from mdir.metric_names import scalar_kind

_MOMENT = ("relative_iteration", "timestamp")


def pack(rows: list[dict]) -> dict | list[dict]:
    """Rows of one key; scalars of iterations as one row of columns, others as they are.

    Loading a column takes no longer for its length, loading a number each time its own.
    """
    first = rows[0]
    if scalar_kind(first) is None or first["relative_iteration"] is None:
        return rows
    data = {name: _column([row["data"][name] for row in rows]) for name in first["data"]}
    return {**first, "data": data, **{key: _column([row[key] for row in rows]) for key in _MOMENT}}


def unpack(packed: dict | list[dict]) -> list[dict]:
    """The rows that :func:`pack` was given."""
    if isinstance(packed, list):
        return packed
    data = {name: _values(column) for name, column in packed["data"].items()}
    moments = {key: _values(packed[key]) for key in _MOMENT}
    return [
        {**packed, "data": _at(place, data), **_at(place, moments)}
        for place in range(len(moments["timestamp"]))
    ]


def _column(values):
    """A tensor where that gives the very same numbers back."""
    kinds = set(map(type, values))
    if kinds in ({float}, {int}):
        return torch.tensor(values, dtype=torch.float64 if kinds == {float} else torch.int64)
    return values


def _at(place, columns):
    return {name: values[place] for name, values in columns.items()}


def _values(column):
    return column.tolist() if isinstance(column, torch.Tensor) else column
