"""What every request meets first: who may ask, from where, how much and how often.

* ``Host`` must be this machine, so that no page of another site can pretend to be ours by its name
  (DNS rebinding); a request of a page's must be of a page of ours (``Origin``, ``Sec-Fetch-Site``).
* Where others reach the machine, a token: as ``Authorization: Bearer TOKEN``, or in the address
  (``/?token=TOKEN``), which puts it into a cookie.
* A bound on requests a second from one address, on bytes and on the time until a request is there.
"""

import asyncio
import hmac
import json
import time
from collections import OrderedDict
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from mdir.serve.limits import Limits, Refused

_ADDRESSES = 10_000  # of which rates are remembered
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_DISCARDED_SECONDS = 5


class Guard:
    """An ASGI application around another.

    Args:
        names: what a ``Host`` may be called, without a port. any_number: any IP address is one,
            too. token: None: nobody but this machine reaches the server.
    """

    def __init__(self, app, limits: Limits, names: set[str], any_number=False, token=None):
        self.app, self.limits, self.token = app, limits, token
        self.names, self.any_number = names, any_number
        self.rates = _Rates(limits.rate, limits.burst)

    async def __call__(self, scope, receive, send):
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            return
        headers = _Headers(scope["headers"])
        body = _Body(receive, self.limits)

        async def protected(message):
            """Add the headers; end a connection on which the rest of a body still comes."""
            if message["type"] == "http.response.start":
                close = [] if body.is_read else [(b"connection", b"close")]
                message = {**message, "headers": _protected([*message["headers"], *close])}
            elif not body.is_read and not message.get("more_body"):
                await send({**message, "more_body": True})
                await body.discard()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        try:
            self._admit(scope, headers)
            cookie = self._let_in(scope, headers)
            body.expect(headers)
        except Refused as error:
            await _respond(protected, error.status, {"error": error.words})
        except ValueError:  # of a header that is read in no way
            await _respond(protected, 400, {"error": "the request is malformed"})
        else:
            if cookie:
                await _redirect(protected, cookie)
            else:
                await self.app(scope, body.receive, protected)

    def _admit(self, scope, headers):
        address = scope["client"][0] if scope["client"] else ""
        if not self.rates.admits(address):
            raise Refused(429, "too many requests; try again in a moment")
        host = headers.only("host")
        name = urlsplit(f"//{host}").hostname if _is_plain(host) else None
        if name not in self.names and not (self.any_number and _is_number(name)):
            raise Refused(403, "this server goes by another name")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise Refused(403, "a page of another site asked")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not (
            scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
        ):
            raise Refused(403, "a page of another site asked")

    def _let_in(self, scope, headers):
        """Check the token; the cookie to be set where the address held it."""
        if self.token is None:
            return None
        if _same(headers.get("authorization"), f"Bearer {self.token}"):
            return None
        if _same(_cookie(headers.get("cookie"), _cookie_name(scope)), self.token):
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=20)
        if scope["path"] == "/" and _same(query.get("token", [""])[0], self.token):
            return f"{_cookie_name(scope)}={self.token}; HttpOnly; SameSite=Strict; Path=/"
        raise Refused(401, "a token is needed: it stands in the address that the server printed")


class _Headers:
    def __init__(self, pairs):
        self.pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs]

    def get(self, name):
        return next((value for key, value in self.pairs if key == name), None)

    def only(self, name):
        found = [value for key, value in self.pairs if key == name]
        return found[0] if len(found) == 1 else None


class _Body:
    """The body of a request as it comes in, so long and so slow at most."""

    def __init__(self, receive, limits):
        self._receive, self.limits = receive, limits
        self.size, self.is_read = 0, False
        self.end = time.monotonic() + limits.body_seconds

    def expect(self, headers):
        length = headers.get("content-length")
        if length is not None and int(length) > self.limits.body_bytes:
            raise self._too_large()
        self.is_read = length in (None, "0") and headers.get("transfer-encoding") is None

    async def receive(self):
        if self.is_read and self.size == 0:
            return await self._receive()
        try:
            async with asyncio.timeout(self.end - time.monotonic() if not self.is_read else None):
                message = await self._receive()
        except TimeoutError:
            raise Refused(408, "the request came too slowly") from None
        self.size += len(message.get("body", b""))
        if self.size > self.limits.body_bytes:
            raise self._too_large()
        self.is_read = self.is_read or not message.get("more_body")
        return message

    async def discard(self):
        """Read on for a while: a client whose bytes are refused does not see the answer."""
        end = min(self.end, time.monotonic() + _DISCARDED_SECONDS)
        left = self.limits.body_bytes
        try:
            async with asyncio.timeout(end - time.monotonic()):
                while left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body"):
                        return
        except TimeoutError:
            pass

    def _too_large(self):
        most = self.limits.body_bytes / (1 << 20)
        return Refused(413, f"the request is larger than {most:g} MiB, the most that is taken")


class _Rates:
    """So many requests a second of each address, ``burst`` of them at once."""

    def __init__(self, rate, burst):
        self.rate, self.burst = rate, burst
        self.left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admits(self, address):
        now = time.monotonic()
        left, then = self.left.pop(address, (self.burst, now))
        left = min(self.burst, left + (now - then) * self.rate)
        is_admitted = left >= 1
        self.left[address] = (left - is_admitted, now)
        while len(self.left) > _ADDRESSES:
            self.left.popitem(last=False)
        return is_admitted


def _is_plain(host):
    """Whether a ``Host`` is a name or number and a port, nothing that is read in two ways."""
    return host is not None and host.isascii() and not set(host) & set("@/\\?# ")


def _is_number(name):
    try:
        return bool(ip_address(name or ""))
    except ValueError:
        return False


def _same(given, expected):
    return given is not None and hmac.compare_digest(given.encode(), expected.encode())


def _cookie_name(scope):
    """One of its own for each port, which browsers do not tell apart."""
    return f"mdir_token_{scope['server'][1]}"


def _cookie(text, name):
    try:
        found = SimpleCookie(text or "").get(name)
    except CookieError:
        return None
    return found and found.value


def _protected(headers):
    own = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
    kept = any(name.lower() == b"cache-control" for name, _ in headers)
    return [*headers, *own, *([] if kept else [(b"cache-control", b"no-store")])]


async def _respond(send, status, content):
    body = json.dumps(content).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *([(b"retry-after", b"1")] if status == 429 else []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _redirect(send, cookie):
    """To the page without the token, which would stay in the history of the browser."""
    headers = [(b"location", b"/"), (b"set-cookie", cookie.encode())]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
