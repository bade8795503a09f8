"""Latency of POST /search: p50 and p95 with one and with eight clients, beside the bare work.

    python3 -m benchmarks.serve                             # 100,000 images of 512 dimensions
    python3 -m benchmarks.serve --engine ivfpq
    python3 -m benchmarks.serve --scale 0.1

The server is a process of its own with an untrained ResNet-18 (512 dimensions) and the descriptors
of benchmarks.index; clients send a JPEG of 640 x 480 pixels, which is shrunk to 362. The bare work
is what the network and the search take in the server's place, without HTTP, form and decoder.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import requests
import torch
from PIL import Image

from benchmarks import running
from benchmarks.index import build, draw
from benchmarks.running import Case
from cirtorch.search.index import open_index
from mdir import registry
from mdir.errors import UserError
from mdir.inference.fingerprint import network_fingerprint
from mdir.networks.factory import load_network
from mdir.networks.files import save_network
from mdir.serve.cli import require_packages
from mdir.serve.decoders import Decoders
from mdir.serve.indexed import Indexed
from mdir.serve.limits import Limits
from mdir.serve.searching import open_searching
from mdir.stages.extract import image_transform, told_preprocessing

_LIMITS = Limits(rate=1e9, burst=1e9)
_MODEL = {
    "architecture": "cirnet",
    "cir_architecture": "resnet18",
    "local_whitening": False,
    "pooling": "gem",
    "regional": False,
    "whitening": False,
    "pretrained": False,
}
_DATA = {
    "transforms": "pil2np | totensor | normalize",
    "mean_std": [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]],
}
_EXTRACTION = {"image_size": 362, "upright": True, "transforms": None, "mean_std": None}
_FILTERS = {"": {}, ", by day": {"filter": '{"condition": "day"}'}}


def make(folder: Path, images: int, engine: str) -> None:
    """A network and an index of so many drawn descriptors."""
    torch.manual_seed(0)
    section = {"type": "SingleNetwork", "model": _MODEL, "initialize": False}
    network = registry.build("network", {**section, "runtime": {"data": _DATA}}, "cpu")
    save_network(network.state_dict(), folder / "net.pth")
    preprocessing = told_preprocessing(image_transform(network, None, None), 362, True)
    draw(folder, images, 512, 1)
    build(folder, engine, 0.99, network_fingerprint(network, {}), preprocessing)


def searching(folder: Path, engine: str, decoders):
    """What the server answers with."""
    extraction = {**_EXTRACTION, "network": {"path": str(folder / "net.pth"), "runtime": None}}
    return open_searching(Indexed("index", str(folder / engine), extraction), decoders, {})


def serve(folder: Path, engine: str) -> None:
    """Print a port and serve until the process is ended."""
    from mdir.serve.app import make_app
    from mdir.serve.guard import Guard
    from mdir.serve.server import listen, make_server

    listening, found = listen("127.0.0.1", 0), searching(folder, engine, Decoders(_LIMITS))
    print(listening.getsockname()[1], flush=True)
    app = Guard(make_app(found, _LIMITS), _LIMITS, {"localhost"})
    make_server(app, _LIMITS).run(sockets=[listening])


def picture() -> bytes:
    """A JPEG of 640 x 480 pixels."""
    coarse = np.random.RandomState(0).randint(0, 256, (12, 16, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((640, 480)).save(file, "JPEG")
    return file.getvalue()


def latencies(port: int, clients: int, count: int, **fields) -> tuple[np.ndarray, float]:
    """Seconds of each request, ``count`` by each of ``clients`` at once, and of all together."""
    found, image = [], picture()

    def ask():
        with requests.Session() as session:
            for _ in range(count):
                start = time.perf_counter()
                files = {"image": image, **{key: (None, text) for key, text in fields.items()}}
                answer = session.post(f"http://localhost:{port}/search", files=files)
                found.append(time.perf_counter() - start)
                assert len(answer.json()["results"]) == 20, answer.text

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == clients * count
    return np.array(found), time.perf_counter() - start


def bare(folder: Path, engine: str, count: int) -> np.ndarray:
    """Seconds of describing a picture and searching, in this process."""
    network = load_network({"path": str(folder / "net.pth"), "runtime": None}, "cpu").eval()
    transform, index = image_transform(network, None, None), open_index(folder / engine)
    image = Image.open(io.BytesIO(picture())).convert("RGB")
    image.thumbnail((362, 362))
    times = []
    for _ in range(count):
        start = time.perf_counter()
        with torch.no_grad():
            row = network(transform(image)[None]).reshape(1, -1).numpy()
        index.search(row, 20)
        times.append(time.perf_counter() - start)
    return np.array(times)


def answers(bench, count=100, engine="exact"):
    """Clients at once, without a filter and with one, beside the bare work of a search."""
    try:
        require_packages()
    except UserError as error:
        return {"skipped": str(error)}
    images = max(40, int(100_000 * bench.scale))  # half of them lie behind the filter
    count = max(8, int(count * bench.scale))
    with tempfile.TemporaryDirectory() as name:
        make(Path(name), images, engine)
        alone = np.median(bare(Path(name), engine, count))
        with served(Path(name), engine) as port:
            latencies(port, 1, 3)
            found = {}
            for clients in (1, 8):
                for words, fields in _FILTERS.items():
                    times, whole = latencies(port, clients, max(1, count // clients), **fields)
                    told = {"size": f"{images} images, {engine}", **_percentiles(times, alone)}
                    rate = {"requests_per_second": len(times) / whole}
                    found[f"{clients} at once{words}"] = told | rate
            return {"rows": found}


def _percentiles(times, alone):
    p50, p95 = np.percentile(times, [50, 95])
    return {
        "times": times.tolist(),
        "milliseconds": 1000 * p50,
        "p95_milliseconds": 1000 * p95,
        "twin_milliseconds": 1000 * alone,
        "ratio": alone / p50,
    }


@contextmanager
def served(folder: Path, engine: str):
    """The port of a server of its own while the block runs."""
    command = [sys.executable, "-m", "benchmarks.serve", "--serve", str(folder)]
    command += ["--engine", engine]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def cases(**options):
    """One; options as of :func:`answers`."""
    return [Case("serve", partial(answers, **options))]


def main(arguments: list[str] | None = None) -> dict:
    """Run it; returns the results."""
    parser = running.command_line("benchmarks.serve", __doc__, "serve")
    parser.add_argument("--requests", type=int, default=100, help="of each client")
    parser.add_argument("--engine", choices=("exact", "ivfpq"), default="exact")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(options.serve, options.engine)
    del options.serve
    return running.main(parser, options, cases(count=options.requests, engine=options.engine))


if __name__ == "__main__":
    sys.exit(running.exit_code(main()))
