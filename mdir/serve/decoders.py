"""Processes that decode pictures, each ended and replaced when it takes too long or breaks."""

import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import mdir
from mdir.serve.limits import Limits, Refused

_COUNT = 2
_PROGRAM = "mdir.serve.decoder"


class Decoders:
    """So many processes of :mod:`mdir.serve.decoder`; may be asked from any thread."""

    def __init__(self, limits: Limits, count: int = _COUNT):
        self.limits = limits
        self._idle: queue.LifoQueue = queue.LifoQueue()
        for process in [_start(limits) for _ in range(count)]:
            self._idle.put(process)
        self._count = count

    def ask(self, data: bytes = b"", **request) -> tuple[dict, bytes]:
        """What a process answers.

        Args:
            data: an encoded picture. request: ``give`` and its arguments.

        Raises:
            Refused: the picture is not decoded, takes too long, or all processes are busy.
        """
        try:
            process = self._idle.get(timeout=2 * self.limits.decode_seconds)
        except queue.Empty:
            raise Refused(503, "too many pictures at a time; try again in a moment") from None
        try:
            answer = self._exchange(process, data, request)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            self._idle.put(process if process.poll() is None else _replace(process, self.limits))
        if "error" in answer[0]:
            raise Refused(422, answer[0]["error"])
        return answer

    def _exchange(self, process, data, request):
        late = threading.Event()

        def end():
            late.set()
            process.kill()

        timer = threading.Timer(self.limits.decode_seconds, end)
        timer.start()
        try:
            head = json.dumps({**request, "bytes": len(data)}).encode()
            process.stdin.write(head + b"\n" + data)
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            content = process.stdout.read(answer.pop("bytes"))
        except (OSError, ValueError):
            words = "takes too long to decode" if late.is_set() else "cannot be decoded"
            raise Refused(422, f"the picture {words}") from None
        finally:
            timer.cancel()
            if late.is_set():
                process.wait()
        return answer, content

    def close(self):
        """End all processes."""
        for _ in range(self._count):
            _end(self._idle.get())


def _start(limits):
    paths = [str(Path(mdir.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    own = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", _PROGRAM, str(limits.decode_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **own},
    )


def _replace(process, limits):
    _end(process)
    return _start(limits)


def _end(process):
    process.kill()
    process.wait()
    process.stdout.close()
    with suppress(OSError):  # what it has not read is lost with it
        process.stdin.close()
