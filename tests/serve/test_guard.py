"""Who may ask: host, origin, token, rate, size and patience."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from threading import Event

import pytest
import requests

from tests.serve.conftest import LIMITS, jpeg


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:99"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "127.0.0.1@evil.example"}, 403),
        ({"Host": "evil.example#127.0.0.1"}, 403),
        ({"Host": "93.184.216.34"}, 403),
        ({"Host": "[::1"}, 400),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
)
def test_only_our_own_name_and_pages(server, headers, status):
    answer = server.get("/health", headers=headers)
    assert answer.status_code == status
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_page_of_another_site_cannot_post(world, server):
    before = len(world.searching.index)
    files = {"image": ("x", jpeg(61))}
    for headers in ({"Origin": "http://localhost:1"}, {"Sec-Fetch-Site": "same-site"}):
        url = server.address + "/images"
        assert server.session.post(url, files=files, headers=headers).status_code == 403
    own = {"Origin": server.address, "Sec-Fetch-Site": "same-origin"}
    answer = server.session.post(server.address + "/search", files=files, headers=own)
    assert answer.status_code == 200 and len(world.searching.index) == before


def test_two_hosts_are_none(server):
    both = b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n"
    assert b" 400 " in server.raw(both)
    assert b" 403 " in server.raw(b"GET /health HTTP/1.0\r\n\r\n")


def test_a_token(world):
    server = world.serve(token="s3cret")
    for headers in ({}, {"Authorization": "Bearer s3cre"}, {"Cookie": "mdir_token_1=s3cret"}):
        for path in (
            "/",
            "/health",
            "/image/1",
            "/page.js",
            "/?token=s3cre",
            "/health?token=s3cret",
        ):
            answer = server.get(path, headers=headers)
            assert answer.status_code == 401 and "a token is needed" in answer.json()["error"]
    assert server.get("/health", headers={"Authorization": "Bearer s3cret"}).status_code == 200
    first = server.get("/?token=s3cret", allow_redirects=False)
    assert (first.status_code, first.headers["location"]) == (303, "/")
    assert first.headers["set-cookie"] == (
        f"mdir_token_{server.port}=s3cret; HttpOnly; SameSite=Strict; Path=/"
    )
    assert "Drop a picture" in server.get("/").text
    assert server.post("/search", jpeg()).status_code == 200


def test_the_rate_is_bounded(world):
    server = world.serve(replace(LIMITS, rate=0.001, burst=5))
    statuses = [server.get("/health").status_code for _ in range(8)]
    assert statuses == [200] * 5 + [429] * 3
    assert server.get("/health").headers["retry-after"] == "1"


def head(length=None, chunked=False, boundary="b"):
    lines = [
        "POST /search HTTP/1.1",
        "Host: localhost",
        f"Content-Type: multipart/form-data; boundary={boundary}",
        *([f"Content-Length: {length}"] if length is not None else []),
        *(["Transfer-Encoding: chunked"] if chunked else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def test_too_much_is_refused_told_or_not(server):
    most = LIMITS.body_bytes
    assert server.post("/search", b"x" * (most + 1)).status_code == 413
    words = b"the request is larger than 1 MiB, the most that is taken"
    assert words in server.raw(head(10**15) + b"x" * 100, words)
    assert b" 400 " in server.raw(head("9" * 5000))
    form = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
    chunks = form + b"x" * most
    chunked = head(chunked=True) + b"%x\r\n" % len(chunks) + chunks + b"\r\n0\r\n\r\n"
    assert words in server.raw(chunked, words)
    assert server.get("/health").status_code == 200


def test_slow_requests_end(world):
    server = world.serve(replace(LIMITS, body_seconds=0.5, idle_seconds=0.5))

    def left_alone(data):
        """What came, once the server has ended the connection."""
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(data)
            found = b""
            try:
                while part := connection.recv(1000):
                    found += part
            except ConnectionError:
                pass
            return found

    assert left_alone(b"") == b""
    assert left_alone(b"GET / HTTP/1.1\r\nHost: loc") == b""
    assert b"the request came too slowly" in left_alone(head(1000) + b"--b\r\n")


def test_of_too_many_connections_those_go_that_wait_the_longest(world):
    server = world.serve(replace(LIMITS, connections=5))
    connections = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(12)]
    connections[0].settimeout(30)
    with suppress(ConnectionResetError):
        assert connections[0].recv(1) == b""
    assert server.get("/health").status_code == 200
    connections[-1].sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"200 OK" in connections[-1].recv(1000)
    for connection in connections:
        connection.close()


def test_pictures_at_a_time_are_bounded_and_slow_senders_keep_nobody_out(world, monkeypatch):
    server, begun, end = world.serve(replace(LIMITS, at_once=1)), Event(), Event()

    def wait(*_):
        begun.set()
        end.wait(60)
        return {"results": []}

    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as slow:
        slow.sendall(head(1000) + b"--b\r\n")
        with monkeypatch.context() as patch, ThreadPoolExecutor(1) as pool:
            patch.setattr(world.searching, "search", wait)
            first = pool.submit(requests.post, server.address + "/search", files={"image": jpeg()})
            assert begun.wait(60)
            answer = server.post("/search", jpeg())
            assert answer.status_code == 503
            assert "too many pictures at a time" in answer.json()["error"]
            end.set()
            assert first.result().json() == {"results": []}
        assert server.post("/search", jpeg()).status_code == 200
