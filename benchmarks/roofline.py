"""The limits of a machine, measured: large matrix products, and a copy in memory.

A share of the roofline is how much of the faster of both limits a computation uses: its
multiplications and additions a second, as a share of what a large matrix product of the same
precision reaches on the same threads or card.
"""

import time
from contextlib import contextmanager

import torch
from torch.utils.flop_counter import FlopCounterMode

MODES = {"float32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
_BEST_OF = 5


def synchronize(device) -> None:
    """Wait until a device has done all it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(function, device) -> float:
    """Seconds by the wall of one call, until the device has done it."""
    synchronize(device)
    start = time.perf_counter()
    function()
    synchronize(device)
    return time.perf_counter() - start


@contextmanager
def tensor_cores(allowed: bool):
    """Whether float32 products and convolutions of a card may be computed in TF32 inside."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def product_peak(mode: str, side: int, device="cpu") -> float:
    """Floating point operations a second of a square matrix product, the best of a few.

    Args:
        mode: of :data:`MODES`; ``tf32`` is float32 on a CPU.
    """
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.randn(side, side, generator=rng).to(device, MODES[mode]) for _ in range(2))
    out = torch.empty_like(a)
    with tensor_cores(mode == "tf32"):
        best = _best(lambda: torch.mm(a, b, out=out), device)
    return 2 * side**3 / best


def copy_peak(numbers: int, device="cpu") -> float:
    """Bytes a second, read and written, of a copy of so many float32 numbers."""
    source = torch.ones(numbers, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _best(lambda: target.copy_(source), device)


def _best(function, device):
    function()
    return min(seconds_of(function, device) for _ in range(_BEST_OF))


def flops_of(function) -> int:
    """Floating point operations of the products and convolutions in one call."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()
