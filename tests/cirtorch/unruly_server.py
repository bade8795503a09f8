"""A local HTTP server that misbehaves on request: what downloads are tested against."""

import hashlib
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class UnrulyServer(ThreadingHTTPServer):
    """Serves ``files`` {path: bytes}; ``script`` {path: [behaviour, ...]}, one for each request.

    Behaviours: ``truncate N`` (the connection ends after N bytes), ``stall N`` (silence after N
    bytes), ``lie N`` (a length N bytes too great), ``unranged`` (ignores Range), ``redirect PATH``,
    ``wrong`` (other bytes of the same length), ``page`` (a web page), or a status code.
    ``requests`` collects (path, Range header or None).
    """

    daemon_threads = True
    tagged = True  # whether an ETag is sent

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.script, self.requests = {}, {}, []
        self.closing = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


@contextmanager
def unruly_server():
    """A running :class:`UnrulyServer`."""
    server = UnrulyServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        queue = self.server.script.get(self.path, [])
        behaviour, _, detail = (queue.pop(0) if queue else "good").partition(" ")
        body = self.server.files.get(self.path)
        if behaviour == "redirect":
            self.send_response(302)
            self.send_header("Location", detail)
            self.end_headers()
        elif behaviour.isdigit() or body is None:
            self._answer(int(behaviour) if behaviour.isdigit() else 404, b"no")
        elif behaviour == "page":
            self._answer(200, b"<html>sold</html>", kind="text/html")
        else:
            self._file(body, wanted, behaviour, int(detail or 0))

    def _file(self, body, wanted, behaviour, count):
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if behaviour == "wrong":
            body = bytes(255 - byte for byte in body)
        condition = self.headers.get("If-Range")
        span = re.fullmatch(r"bytes=(\d+)-", wanted or "")
        if behaviour == "unranged" or (condition and condition != tag):
            span = None
        if span and int(span[1]) >= len(body):
            self._answer(416, b"")
            return
        start = int(span[1]) if span else 0
        self.send_response(206 if span else 200)
        self.send_header("Content-Length", str(len(body) - start + (behaviour == "lie") * count))
        if span:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if self.server.tagged:
            self.send_header("ETag", tag)
        self.end_headers()
        end = start + count if behaviour in ("truncate", "stall") else len(body)
        self.wfile.write(body[start:end])
        self.wfile.flush()
        if behaviour == "stall":
            self.server.closing.wait(20)
        self.close_connection = True

    def _answer(self, status, body, kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
