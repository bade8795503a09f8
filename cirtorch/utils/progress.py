"""Progress of long work: a bar on a terminal, a plain line every so often elsewhere."""

import sys
import time
from collections.abc import Callable
from contextlib import contextmanager

from tqdm import tqdm

_LINE_EVERY_S = 60


def on_terminal() -> bool:
    """Whether progress is drawn as a bar; in a file or a pipe it is told in lines."""
    return sys.stderr.isatty()


def progress(images, total: int, what: str):
    """Yield from ``images`` while telling how many of ``total`` are done, the rate and time left.

    Work that takes less than a minute prints nothing into a file or a pipe.
    """

    def tell(done, total, rate):
        if rate is not None:
            left = (total - done) / rate
            print(f"{what}: {done}/{total} images, {rate:.3g} a second, {left:.0f} s left")

    with reported(tell, _LINE_EVERY_S, total=total, desc=what, unit=" images") as report:
        report(0, total)
        for done, image in enumerate(images, 1):
            yield image
            report(done, total)


@contextmanager
def reported(tell: Callable[[int, int | None, float | None], None], every_s: float, **bar):
    """Yield ``report(done, total)``, which moves a bar or, in a file or a pipe, calls ``tell``.

    Args:
        tell: called with (done, total, rate) at the first report, whose rate is None, and then
            once in ``every_s`` seconds at most; the rate is that since the first report.
        bar: options of ``tqdm``.
    """
    if on_terminal():
        with tqdm(leave=False, **bar) as drawn:

            def draw(done, total):
                drawn.total = total
                drawn.update(done - drawn.n)

            yield draw
        return
    first = told = None

    def say(done, total):
        nonlocal first, told
        now = time.monotonic()
        if first is None:
            first, told = (done, now), now
            tell(done, total, None)
        elif now - told >= every_s:
            told = now
            tell(done, total, (done - first[0]) / (now - first[1]))

    yield say
