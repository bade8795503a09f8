"""Pictures are decoded apart: what takes too long, asks for too much or breaks, ends alone."""

import os
import signal
import struct
import threading
import zlib
from dataclasses import replace

import pytest

from mdir.serve.decoders import Decoders
from mdir.serve.limits import Refused
from tests.serve.conftest import LIMITS, jpeg

REQUEST = {"give": "pixels", "path": None, "side": 64, "pixels": 10**6, "box": None}
REQUEST["upright"] = True


@pytest.fixture(scope="module")
def decoders():
    made = Decoders(LIMITS, count=1)
    yield made
    made.close()


def png(width, height, rows):
    """A PNG of so many rows of black, whatever its header says."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes((1 + 3 * width) * rows), 9)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def process(decoders):
    found = decoders._idle.get()
    decoders._idle.put(found)
    return found


def test_pixels_as_the_network_is_to_have_them(decoders):
    told, content = decoders.ask(jpeg(1, (100, 50)), **REQUEST)
    assert told == {"suffix": "jpg", "width": 100, "height": 50, "size": [64, 32]}
    assert len(content) == 64 * 32 * 3
    told, _ = decoders.ask(jpeg(1, (100, 50)), **{**REQUEST, "box": [0.999, 0.999, 1, 1]})
    assert told["size"] == [1, 1]


def test_bombs(decoders):
    with pytest.raises(Refused, match=r"has 60000 x 60000 pixels; at most 1 million are taken"):
        decoders.ask(png(60000, 60000, 1), **REQUEST)
    told, _ = decoders.ask(png(900, 900, 9000), **REQUEST)  # more rows than it tells
    assert told["size"] == [64, 64]


def test_a_picture_that_needs_too_much_memory():
    decoders = Decoders(replace(LIMITS, decode_bytes=700 << 20), count=1)
    try:
        before = process(decoders).pid
        with pytest.raises(Refused, match="too much memory"):
            decoders.ask(png(20000, 20000, 1), **{**REQUEST, "pixels": 10**9})
        assert decoders.ask(jpeg(), **REQUEST) and process(decoders).pid == before
    finally:
        decoders.close()


def test_one_that_takes_too_long_and_one_that_breaks(decoders):
    before = process(decoders)
    os.kill(before.pid, signal.SIGSTOP)
    slow = Decoders.__new__(Decoders)
    slow.__dict__ = {**decoders.__dict__, "limits": replace(LIMITS, decode_seconds=0.2)}
    with pytest.raises(Refused, match="takes too long to decode"):
        slow.ask(jpeg(), **REQUEST)
    assert before.poll() is not None and process(decoders).pid != before.pid
    os.kill(process(decoders).pid, signal.SIGKILL)
    with pytest.raises(Refused, match="cannot be decoded"):
        decoders.ask(b"x" * 10**6, **REQUEST)
    assert decoders.ask(jpeg(), **REQUEST)[0]["size"] == [64, 48]


def test_from_many_threads(decoders):
    found = []

    def ask(seed):
        told, _ = decoders.ask(jpeg(seed, (40 + seed, 40)), **REQUEST)
        found.append((seed, told["width"]))

    threads = [threading.Thread(target=ask, args=[seed]) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [(seed, 40 + seed) for seed in range(8)]
