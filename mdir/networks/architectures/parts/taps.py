"""Reading the outputs of layers inside a flat sequence."""

from collections.abc import Sequence

import torch
from torch import nn


def parse_layers(text: str) -> list[int]:
    """``"4,8,12"`` -> ``[4, 8, 12]``.

    Raises:
        ValueError: where an entry is not a layer number or the numbers do not ascend.
    """
    try:
        layers = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"expected layer numbers such as '4,8,12', got {text!r}") from None
    if any(layer < 0 for layer in layers) or layers != sorted(set(layers)):
        raise ValueError(f"layer numbers must ascend from 0 or more, got {text!r}")
    return layers


def run_with_taps(
    modules: Sequence[nn.Module], x: torch.Tensor, layers: Sequence[int], encode_only: bool
):
    """Run a sequence, collecting the outputs of the listed layers.

    The ReLUs of the sequences that this serves work in place. A tapped normalization is therefore
    seen *after* the ReLU behind it, unless the pass ends at the tap; published models were
    trained with such taps, so they stay.

    Args:
        layers: ascending indices into ``modules``; -1 as the last one stands for the final output.
        encode_only: stop behind the last tap and return only the features.

    Returns:
        The list of features with ``encode_only``, otherwise ``(output, features)``.

    Raises:
        ValueError: where the indices do not ascend or lie beyond the sequence.
    """
    count = len(modules)
    wanted = [count - 1 if layer == -1 else layer for layer in layers]
    if wanted != sorted(set(wanted)) or wanted[0] < 0 or wanted[-1] >= count:
        raise ValueError(f"layers must ascend and lie in 0..{count - 1}, got {list(layers)}")
    features = []
    for index, module in enumerate(modules):
        x = module(x)
        if index in wanted:
            features.append(x)
        if encode_only and index == wanted[-1]:
            return features
    return x, features
