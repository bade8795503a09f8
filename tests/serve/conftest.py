"""A server over an index of a few drawn pictures, and clients that speak to it."""

import io
import socket
import threading
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
import requests
import torch
from PIL import ExifTags, Image

from mdir.networks.files import save_network
from mdir.serve.indexed import Indexed
from mdir.serve.limits import Limits
from mdir.stages.extract import extract
from mdir.stages.index import index
from tests.cirtorch.world import draw
from tests.sections import DATA, build, cirnet, generator, single

CONDITIONS = ("day", "night", "day", "dusk", "night", "day", "")
NETWORK = {"path": "net.pth", "runtime": None}
EXTRACTION = {
    "network": NETWORK,
    "images": "images",
    "directory": "vectors",
    "image_size": 96,
    "transforms": None,
    "mean_std": None,
    "upright": True,
}


def write_world(root):
    """A network, a generator, and seven described pictures, the second of them turned."""
    for number in range(len(CONDITIONS)):
        draw(root / f"images/place{number // 2}/{number}.jpg", number)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    with Image.open(root / "images/place0/1.jpg") as turned:
        turned.save(root / "images/place0/1.jpg", exif=exif, comment="secret")
    lines = [
        f"place{number // 2}/{number}.jpg,{'<b>tower</b>' if number == 0 else 'bridge'},{condition}"
        for number, condition in enumerate(CONDITIONS)
    ]
    (root / "images/index.csv").write_text("path,landmark,condition\n" + "\n".join(lines))
    torch.manual_seed(0)
    save_network(build(single(cirnet("squeezenet1_1"), data=DATA)).state_dict(), root / "net.pth")
    save_network(build(generator()).state_dict(), root / "generator.pth")
    extract({**EXTRACTION, "loader": {"num_workers": 0}})
    index({"database": "vectors", "directory": "index", "payload": "images/index.csv"})


class Server:
    """A running server; requests go to paths below its address."""

    def __init__(self, searching, limits, token=None):
        from mdir.serve.app import make_app
        from mdir.serve.guard import Guard
        from mdir.serve.server import listen, make_server

        self.listening = listen("127.0.0.1", 0)
        self.port = self.listening.getsockname()[1]
        self.address, self.session = f"http://127.0.0.1:{self.port}", requests.Session()
        # A connection that the server closes, as after a failure, may look open on a busy machine.
        self.session.headers["Connection"] = "close"
        names = {"localhost", "127.0.0.1"}
        app = Guard(make_app(searching, limits), limits, names, token is not None, token)
        self.server = make_server(app, limits)
        run = {"sockets": [self.listening]}
        self.thread = threading.Thread(target=self.server.run, kwargs=run, daemon=True)
        self.thread.start()

    def get(self, path, **options):
        return self.session.get(self.address + path, **options)

    def post(self, path, image=None, **fields):
        """A multipart form; texts are fields."""
        parts = {key: (None, str(value)) for key, value in fields.items()}
        if image is not None:
            parts["image"] = ("../../<b>.jpg", image)
        return self.session.post(self.address + path, files=parts)

    def raw(self, data: bytes, until: bytes = b"\r\n\r\n") -> bytes:
        """What comes back, as far as ``until``, for bytes on a connection of their own."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            found = b""
            with suppress(OSError):
                connection.sendall(data)
                while until not in found and (part := connection.recv(1 << 16)):
                    found += part
            return found

    def close(self):
        self.server.should_exit = True
        self.thread.join(20)
        self.session.close()
        self.listening.close()


def jpeg(seed=0, size=(64, 48), **options) -> bytes:
    """The file of a drawn picture."""
    coarse = np.random.RandomState(seed).randint(0, 256, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize(size).save(file, options.pop("format", "JPEG"), **options)
    return file.getvalue()


LIMITS = Limits(rate=1e6, burst=1e6, pixels=10**6, body_bytes=1 << 20, decode_seconds=5)


def require_extra():
    """Skip where the server cannot run."""
    reason = "the extra 'serve' is not installed"
    pytest.importorskip("fastapi", reason=reason)
    pytest.importorskip("uvicorn", reason=reason)
    pytest.importorskip("python_multipart", reason=reason)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Its ``root``, ``searching`` and ``serve(limits, token)``, which starts a server."""
    require_extra()
    from mdir.serve.decoders import Decoders
    from mdir.serve.searching import open_searching

    root, servers = tmp_path_factory.mktemp("root"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRTORCH_ROOT", str(root))
        write_world(root)
        decoders = Decoders(LIMITS)
        indexed = Indexed("index", str(root / "index"), EXTRACTION)
        searching = open_searching(indexed, decoders, {"night": "generator.pth"})

        def serve(limits=LIMITS, token=None):
            servers.append(Server(searching, limits, token))
            return servers[-1]

        yield SimpleNamespace(root=root, searching=searching, serve=serve, indexed=indexed)
        for server in servers:
            server.close()
        decoders.close()


@pytest.fixture(scope="module")
def server(world):
    return world.serve()
