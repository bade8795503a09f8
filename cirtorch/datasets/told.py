"""Warnings about files: each file once, whichever process meets it, with the count so far."""

import mmap
import os
import sys
import zlib

_NAMED = 20


class Told:
    """Prints ``Warning: PATH WHAT (COUNT so far)``.

    Of many files the first are named, then those whose count is a power of two.

    Attributes:
        calls: how often this process had something to say of a file, whether or not it said so.

    Args:
        what: is said of a file.
    """

    calls = 0

    def __init__(self, what: str):
        self.what = what
        # Shared with processes that are forked later: workers of loaders tell each file once.
        self.seen = mmap.mmap(-1, 1 << 16)

    def __call__(self, path: str | os.PathLike) -> None:
        Told.calls += 1
        path, seen = os.fspath(path), self.seen
        place = 4 + zlib.crc32(os.fsencode(path)) % (len(seen) - 4)
        if seen[place]:
            return
        seen[place] = 1
        count = int.from_bytes(seen[:4], "little") + 1
        seen[:4] = count.to_bytes(4, "little")
        if count <= _NAMED or count & (count - 1) == 0:
            print(f"Warning: {path} {self.what} ({count} so far)", file=sys.stderr, flush=True)
