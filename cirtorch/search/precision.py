"""Products whose rounding decides the order of a ranking."""

from contextlib import contextmanager

import torch


@contextmanager
def full_precision():
    """Inside, float32 products are computed in float32, whatever a run allows for speed."""
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)
