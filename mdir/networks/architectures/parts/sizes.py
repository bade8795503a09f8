"""Image sizes that a network cannot take, said in words."""

import torch
import torch.nn.functional as F

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


def resized(x: torch.Tensor, size=None, multiples: tuple[int, int] = (1, 1)) -> torch.Tensor:
    """Images ``[B, C, H, W]`` of a size that a network takes; those that are of one stay.

    Bilinear with antialiasing, as place recognition resizes.

    Args:
        size: ``(height, width)`` of all; null: each side goes to the nearest multiple, that of the
            even factor where two are as near.
        multiples: of height and width.
    """
    given = tuple(x.shape[-2:])
    wanted = size or tuple(map(_nearest_multiple, given, multiples))
    if wanted == given:
        return x
    return F.interpolate(x, size=wanted, mode="bilinear", align_corners=False, antialias=True)


def _nearest_multiple(side, unit):
    """Python's ``max(round(side / unit), 1) * unit`` without a branch, for exported networks."""
    whole, rest = side // unit, side % unit
    rounded = whole + (2 * rest + whole % 2 + unit - 1) // (2 * unit)
    return torch.sym_max(rounded, 1) * unit
