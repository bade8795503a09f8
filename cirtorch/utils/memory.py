"""A bound on what reading a file may ask for."""

import threading
from contextlib import contextmanager

_STATUS = "/proc/self/status"
_GRANTED = 1 << 28
_one_at_a_time = threading.RLock()


@contextmanager
def bounded_memory(more: int):
    """Let the process grow by ``more`` bytes and 256 MiB at most in the block.

    A few bytes of a pickle or of an array's header can ask for any amount. The bound is that of
    the whole process, for the short time of the block; it holds on Linux.

    Raises:
        MemoryError: by what asks for more.
    """
    with _one_at_a_time:
        now = _held()
        if now is None:
            yield
            return
        import resource  # absent where there is no such bound

        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        bounds = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_DATA, (min([now + more + _GRANTED, *bounds]), hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _held():
    """Bytes of private memory, as the bound counts them; None where that is not told."""
    try:
        with open(_STATUS, encoding="ascii") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmData"))
    except (OSError, StopIteration):
        return None
