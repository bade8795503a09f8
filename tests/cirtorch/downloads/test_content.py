"""A page of an error is no file of weights, whatever its status."""

import io
import pickle
import struct

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from cirtorch.downloads.content import content_fault
from cirtorch.downloads.fetch import fetch
from cirtorch.utils.errors import DataError
from tests.cirtorch.small_mirror import tar, zipped
from tests.cirtorch.unruly_server import unruly_server

HTML = b"<html><body>gone</body></html>"
PAGES = {
    "html": HTML,
    "doctype": b"<!DOCTYPE html>" + HTML,
    "xhtml": b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0">' + HTML,
    "comment": b"<!-- served by\nus -->\n<!-- again --><html>",
    "endless comment": b"<!-- " + b"x" * 9000,
    "mark": b"\xef\xbb\xbf \r\n" + HTML,
    "wide": HTML.decode().encode("utf-16"),
    "bare": b"<head><title>404</title></head>",
    "heading": b"\n<h1>Not found</h1>",
    "json": b'{"error": {"code": 404, "message": "not found"}}',
}
BINARY = (".pth", ".pt", ".pth.tar", ".pkl", ".safetensors", ".tar.gz", ".zip", ".jpg", ".npy")


def written(write, **options):
    buffer = io.BytesIO()
    write(buffer, **options)
    return buffer.getvalue()


def torch_file(legacy):
    state = {"a": torch.ones(2)}
    return written(
        lambda f: torch.save(state, f, _use_new_zipfile_serialization=not legacy),
    )


def image(kind):
    return written(lambda f: Image.new("RGB", (4, 4)).save(f, kind))


GOOD = [
    ("w.pth", torch_file(False)),
    ("w.pth", torch_file(True)),
    ("w.pth.tar", torch_file(False)),
    ("w.pkl", torch_file(False)),
    *[("w.pkl", pickle.dumps({"m": [1]}, protocol)) for protocol in range(6)],
    ("w.pkl", pickle.dumps([1, 2], 0)),
    ("w.safetensors", save({"a": torch.ones(2)})),
    ("a.tar.gz", tar({"x": b"1"})),
    ("a.tgz", zipped({"x": b"1"})),
    ("a.tar", tar({"x": b"1"}, mode="w")),
    ("a.zip", zipped({"x": b"1"})),
    ("a.npy", written(lambda f: np.save(f, np.ones(2)))),
    *[(f"a.{kind}", image(kind)) for kind in ("png", "bmp", "webp", "tiff", "gif")],
    ("a.JPG", image("jpeg")),
    ("list.txt", b"a/b.jpg\nc.jpg\n"),
    ("list.txt", b"{odd} name.jpg\n"),
    ("noname", b"\x00\x01"),
    ("facts.json", b'{"a": 1}'),
    ("page.html", HTML),
]


@pytest.mark.parametrize(("name", "content"), GOOD)
def test_what_a_file_should_be(tmp_path, name, content):
    (tmp_path / "f").write_bytes(content)
    assert content_fault(tmp_path / "f", name) is None


@pytest.mark.parametrize("kind", PAGES)
@pytest.mark.parametrize("suffix", [*BINARY, ".txt", ".tsv", "", ".bin"])
def test_pages_and_messages_are_no_files(tmp_path, kind, suffix):
    (tmp_path / "f").write_bytes(PAGES[kind])
    fault = content_fault(tmp_path / "f", f"x{suffix}")
    assert fault is not None
    if kind != "json":
        assert fault == "is a web page"


@pytest.mark.parametrize("suffix", BINARY)
@pytest.mark.parametrize("content", [b"Not found", b"\0" * 600, struct.pack("<Q", 1 << 60) + b"{}"])
def test_anything_else_is_not_what_was_expected(tmp_path, suffix, content):
    (tmp_path / "f").write_bytes(content)
    assert "has not the content of a" in content_fault(tmp_path / "f", f"x{suffix}")


@pytest.mark.parametrize("body", [PAGES["xhtml"], PAGES["json"], PAGES["comment"], b"", b"gone"])
def test_nothing_is_kept_of_them(tmp_path, body):
    with unruly_server() as server:
        server.files["/w.pth"] = body
        with pytest.raises(DataError, match=r"w\.pth.*gave a file that (is|has)"):
            fetch(server.url("/w.pth"), tmp_path / "got/w.pth", attempts=2, wait=0)
    assert not list((tmp_path / "got").iterdir())
