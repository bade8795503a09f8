"""Listening: the address, and connections that wait for nobody longer than they should."""

import ipaddress
import socket
import time

from mdir.errors import UserError
from mdir.serve.limits import Limits

_LATE_CHECKS_S = 1


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections at an address.

    Args:
        port: 0: any that is free.

    Raises:
        UserError: there is no such address here, the port is in use, or not ours to take.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, OverflowError, UnicodeError) as error:
        raise UserError(f"--host {host}: there is no such address ({error})") from None
    listening = socket.socket(family, kind)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise UserError(
            f"{host}:{port}: cannot be listened at ({error.strerror}); another program may use the "
            "port: --port chooses another, 0 one that is free"
        ) from None
    return listening


def is_local(listening: socket.socket) -> bool:
    """Whether nobody but this machine reaches a socket."""
    return ipaddress.ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


def make_server(app, limits: Limits):
    """A server of uvicorn for one ASGI application; its ``run(sockets=[...])`` blocks."""
    import uvicorn

    config = uvicorn.Config(
        app,
        http=_protocol(limits),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)


def _protocol(limits):
    from uvicorn.protocols.http.h11_impl import H11Protocol

    open_connections: dict = {}

    class Patient(H11Protocol):
        """A connection that is cut when its client sends or takes nothing for too long.

        Of too many the one goes that has been waiting for its client the longest.
        """

        def connection_made(self, transport):
            super().connection_made(transport)
            open_connections[self] = None
            self._told, self._since = None, time.monotonic()
            self._timer = self.loop.call_later(_LATE_CHECKS_S, self._check)
            if len(open_connections) > limits.connections:
                waiting = (one for one in open_connections if one.waits())
                next(waiting, self).transport.abort()

        def connection_lost(self, error):
            open_connections.pop(self, None)
            self._timer.cancel()
            super().connection_lost(error)

        def waits(self):
            """For its client, and not for us."""
            cycle = self.cycle
            return cycle is None or cycle.response_complete or cycle.more_body

        def _check(self):
            cycle = self.cycle
            is_asked = cycle is not None and not cycle.response_complete
            if self._told != (cycle, is_asked):
                self._told, self._since = (cycle, is_asked), time.monotonic()
            patience = limits.answer_seconds if is_asked else limits.idle_seconds
            if time.monotonic() - self._since > patience:
                self.transport.abort()
            else:
                self._timer = self.loop.call_later(_LATE_CHECKS_S, self._check)

    return Patient
