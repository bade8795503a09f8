"""Tensors inside lists, tuples and mappings."""

from copy import copy

from torch.overrides import is_tensor_like


def map_tensors(function, value):
    """The same nested lists, tuples and dicts with ``function(tensor)`` in place of each tensor.

    What implements torch's functions (``__torch_function__``) counts as a tensor. Anything else
    stays as it is.
    """
    if is_tensor_like(value):
        return function(value)
    if isinstance(value, dict):
        mapped = copy(value)
        mapped.update((key, map_tensors(function, item)) for key, item in value.items())
        return mapped
    if isinstance(value, (list, tuple)):
        items = [map_tensors(function, item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value
