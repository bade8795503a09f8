"""The L2-normalised vectors that networks give and memories keep."""

import torch
import torch.nn.functional as F


def unit_rows(rows: torch.Tensor) -> torch.Tensor:
    """L2-normalised ``[B, D]``, in float32 where a network computes in less."""
    return F.normalize(rows.to(torch.promote_types(rows.dtype, torch.float32)), dim=1)
