"""Hostile requests leave the server serving, its memory flat and its files alone."""

import os
import socket
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.conftest import PROJECT
from tests.serve.conftest import CONDITIONS
from tests.serve.hostile import hostile

GROWTH = 48 << 20  # bytes, of all processes: what allocators keep differs from run to run


@pytest.fixture(scope="module")
def process(world):
    """Process and port of a server."""
    environ = {**os.environ, "CIRTORCH_ROOT": str(world.root), "MALLOC_ARENA_MAX": "2"}
    command = [sys.executable, "-m", "tests.serve.served"]
    started = subprocess.Popen(command, cwd=PROJECT, env=environ, stdout=subprocess.PIPE, text=True)
    yield started, int(started.stdout.readline())
    started.kill()
    started.wait()
    started.stdout.close()


def memory(process):
    """Bytes that a process and those it started hold."""
    status = Path(f"/proc/{process}/status").read_text()
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return (own << 10) + sum(map(memory, children))


def send(port, is_slow, data, kept):
    """One request; a slow sender keeps its connection open, others read an answer."""
    with suppress(OSError):
        connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        if is_slow:
            kept.append(connection)
            connection.sendall(data)
            return b""
        with connection:
            with suppress(OSError):  # it may be refused while more is sent
                connection.sendall(data)
            return connection.recv(1 << 16)
    return b""


def attack(port, count, seed):
    kept = []
    with ThreadPoolExecutor(8) as pool:
        arguments = ((port, *one, kept) for one in hostile(count, seed))
        answers = list(pool.map(lambda one: send(*one), arguments))
    for connection in kept:
        connection.close()
    return answers


def files(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def search(world, port):
    with open(world.root / "images/place1/2.jpg", "rb") as file:
        answer = requests.post(f"http://localhost:{port}/search", files={"image": file})
    return answer.status_code, answer.json()["results"][0]["id"]


def attacked(world, process, warm, count):
    started, port = process
    attack(port, warm, seed=0)
    assert search(world, port) == (200, 2)
    before, held = files(world.root), memory(started.pid)
    answers = attack(port, count, seed=1)
    assert search(world, port) == (200, 2)
    growth = memory(started.pid) - held
    health = requests.get(f"http://localhost:{port}/health").json()
    assert health["images"] == len(CONDITIONS)
    assert files(world.root) == before
    assert not any(b"root:" in answer or b"<script>" in answer for answer in answers)
    assert not any(answer.startswith(b"HTTP/1.1 500") for answer in answers)
    statuses = Counter(answer[9:12] for answer in answers)
    assert sum(statuses[one] for one in statuses if one.startswith(b"4")) > count / 2, statuses
    assert growth < GROWTH, f"{growth / (1 << 20):.0f} MiB"
    return growth


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc tells of memory")
def test_hostile_requests(world, process):
    attacked(world, process, 80, 120)


@pytest.mark.slow
def test_two_thousand_hostile_requests(world, process):
    growth = attacked(world, process, 200, 2000)
    print(f"grown by {growth / (1 << 20):.1f} MiB")
