"""Writing images while the next ones are computed."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

THREADS = 6
MOST_WAITING = 12


class Writer:
    """Runs jobs at once, or in a few threads with a bounded number waiting.

    An error of a job is raised when its turn comes, at the latest when the block ends.
    """

    def __init__(self, threaded: bool):
        self.pool = ThreadPoolExecutor(THREADS) if threaded else None
        self.pending = deque()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if self.pool is None:
            return
        try:
            while kind is None and self.pending:
                self.pending.popleft().result()
        finally:
            self.pool.shutdown(cancel_futures=True)

    def submit(self, job, *args) -> None:
        if self.pool is None:
            job(*args)
            return
        if len(self.pending) >= MOST_WAITING:
            self.pending.popleft().result()
        self.pending.append(self.pool.submit(job, *args))
