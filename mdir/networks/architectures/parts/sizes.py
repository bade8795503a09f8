"""Image sizes that a network cannot take, said in words."""

import torch

from mdir.errors import UserError


def require_side(x: torch.Tensor, least: int, network: str) -> None:
    """Refuse images with a side below ``least`` pixels.

    Raises:
        UserError: with the size given and the least one.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return
    height, width = x.shape[-2:]
    if min(height, width) < least:
        raise UserError(
            f"{network}: image of {width}x{height} pixels is too small, each side needs at least "
            f"{least}"
        )


def require_divisible(x: torch.Tensor, divisor: int, network: str) -> None:
    """Refuse images with a side that is not a multiple of ``divisor``.

    Raises:
        UserError: with the size given and what it has to be.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return
    height, width = x.shape[-2:]
    if height % divisor or width % divisor:
        raise UserError(
            f"{network}: sides of {width}x{height} pixels have to be multiples of {divisor} "
            f"(wrapper reflectpad_divisible:{divisor} pads them)"
        )
