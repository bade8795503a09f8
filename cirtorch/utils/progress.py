"""Progress of long work: a bar on a terminal, a plain line every so often elsewhere."""

import sys
import time

from tqdm import tqdm

_LINE_EVERY_S = 60


def progress(items, total: int, what: str, unit: str = "images"):
    """Yield from ``items`` while telling how many of ``total`` are done, the rate and time left.

    Work that takes less than a minute prints nothing into a file or a pipe.
    """
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=what, unit=f" {unit}", leave=False)
        return
    start = told = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - told > _LINE_EVERY_S:
            told, rate = now, done / (now - start)
            left = (total - done) / rate
            print(f"{what}: {done}/{total} {unit}, {rate:.3g} a second, {left:.0f} s left")
