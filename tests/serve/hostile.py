"""Requests that mean harm, as the bytes of a connection."""

import random

from tests.serve.conftest import LIMITS, jpeg
from tests.serve.test_decoders import png

HOST = b"Host: localhost\r\n"
SECRET = "../../../../../../etc/passwd"


def request(path, body=b"", kind="multipart/form-data; boundary=b", method="POST", length=None):
    length = len(body) if length is None else length
    head = f"{method} {path} HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n"
    return head.encode("latin-1") + HOST + b"\r\n" + body


def part(name, content, filename=None, more=""):
    named = f'; filename="{filename}"' if filename is not None else ""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n{more}\r\n'
    return head.encode("utf-8", "surrogateescape") + content + b"\r\n"


def form(*parts):
    return b"".join(parts) + b"--b--\r\n"


def picture(content, path="/search", filename="a.jpg", **fields):
    texts = [part(name, str(value).encode()) for name, value in fields.items()]
    return request(path, form(part("image", content, filename), *texts))


def gif(width, height):
    size = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    return b"GIF89a" + size + b"\0\0\0," + b"\0" * 4 + size + b"\0\x08\xff" + b"\0" * 300


WHOLE = jpeg(9, (400, 300))
FILES = {kind: jpeg(9, (200, 150), format=kind) for kind in ("PNG", "WEBP", "GIF", "BMP", "TIFF")}
BOMB = png(60000, 60000, 1)
LONG = png(990, 990, 9000)


def truncated(rng):
    content = rng.choice([WHOLE, *FILES.values()])
    return picture(content[: rng.randrange(1, len(content))], rng.choice(["/search", "/translate"]))


def damaged(rng):
    content = bytearray(rng.choice([WHOLE, *FILES.values()]))
    for _ in range(rng.randrange(1, 60)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return picture(bytes(content))


def bomb(rng):
    return picture(rng.choice([BOMB, LONG, gif(65535, 65535), gif(999, 999)]))


def oversized(rng):
    most = LIMITS.body_bytes
    return rng.choice(
        [
            request("/search", b"x" * 1000, length=10**13),
            request("/images", form(part("image", b"x" * (most + 1), "a.jpg"))),
            request("/search", form(*[part(f"f{i}", b"x" * 5000) for i in range(150)])),
            request("/search", form(part("filter", b"[" * 16000), part("id", b"1"))),
            request("/search", form(part("image", WHOLE, "a.jpg", f"X-Y: {'z' * 500_000}\r\n"))),
            b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
            b"POST /search HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
            + HOST
            + b"\r\nffffffffff\r\n",
        ]
    )


def traversal(rng):
    path = rng.choice(
        [f"/{SECRET}", f"/image/{SECRET}", "/image/..%2f..%2fetc%2fpasswd", "/%2e%2e/x"]
    )
    return rng.choice(
        [
            request(path, method="GET"),
            picture(b"no picture", filename=SECRET),
            picture(WHOLE[:900], "/images", filename=SECRET + "\0.jpg", place=SECRET),
            request("/search", form(part("id", SECRET.encode()))),
            request(f"/image/1?size={SECRET}", method="GET"),
            request("/translate", form(part("id", b"1"), part("to", SECRET.encode()))),
        ]
    )


def broken(rng):
    whole = form(part("image", WHOLE, "a.jpg"), part("k", b"3"))
    return rng.choice(
        [
            request("/search", whole[: rng.randrange(len(whole))]),
            request("/search", whole, "multipart/form-data"),
            request("/search", whole, "multipart/form-data; boundary=" + "c" * 300),
            request("/search", whole.replace(b"--b\r\n", b"--b\n")),
            request("/search", form(part("image", WHOLE, "a"), part("image", WHOLE, "b"))),
            request("/search", form(part("k", b"3", "k.txt"), part("id", b"1"))),
            request("/search", form(part("image\r\nX: y", WHOLE, "\udcff<script>.jpg"))),
            request("/search", rng.randbytes(3000)),
            request("/search", whole, "application/json"),
            request("/images", whole, "application/x-www-form-urlencoded"),
            request("/search", b"image=" + b"%41" * 9000, "application/x-www-form-urlencoded"),
        ]
    )


def garbage(rng):
    return rng.choice(
        [
            rng.randbytes(500),
            b"GET /health HTTP/9.9\r\n\r\n",
            b"POST /search HTTP/1.1\r\nContent-Length: -5\r\n" + HOST + b"\r\n",
            b"GET /health HTTP/1.1\r\n" + HOST * 2 + b"\r\n",
            b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
            request("/health", method="GET") * 30,
            request("/image/1", method="DELETE"),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(80),
        ]
    )


def slow(rng):
    whole = picture(WHOLE)
    return whole[: rng.randrange(1, len(whole))]


KINDS = (truncated, damaged, bomb, oversized, traversal, broken, garbage, slow)


def hostile(count, seed):
    """So many requests, kinds in turn, as ``(is slow, bytes)``."""
    rng = random.Random(seed)
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        yield kind is slow, kind(rng)
