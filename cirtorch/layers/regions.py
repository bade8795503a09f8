"""The grid of square regions of R-MAC (Tolias et al., ICLR 2016)."""

from functools import lru_cache

import numpy as np

_OVERLAP = 0.4
_STEPS = np.arange(2, 8, dtype=np.float32)


@lru_cache(maxsize=4096)
def region_grid(height, width, levels=3):
    """Square regions of a ``height x width`` map.

    Returns:
        a tuple of ``(side, tops, lefts)`` per level: the regions are all combinations of ``tops``
        (outer loop) and ``lefts``. Levels that would have an empty side are left out. The whole
        map, which is region 0, is not listed. Arithmetic is float32, as published.
    """
    short, long = min(height, width), max(height, width)
    extra = 0
    if long > short:
        steps = (np.float32(long) - np.float32(short)) / (_STEPS - 1)
        square = np.float32(short) ** 2
        overlap = np.abs((square - np.float32(short) * steps) / square - np.float32(_OVERLAP))
        extra = int(overlap.argmin()) + 1
    extra_rows, extra_columns = (extra if height > width else 0), (extra if width > height else 0)
    grid = []
    for level in range(1, levels + 1):
        side = int(2 * short / (level + 1))
        if side > 0:
            tops = _edges(height, side, level + extra_rows)
            grid.append((side, tops, _edges(width, side, level + extra_columns)))
    return tuple(grid)


def _edges(length, side, count):
    step = np.float32(0 if count == 1 else (length - side) / (count - 1))
    half = np.float32(np.floor(side / 2 - 1))
    positions = np.floor(half + np.arange(count, dtype=np.float32) * step) - half
    return tuple(int(position) for position in positions)
