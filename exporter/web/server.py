"""The web server: a thread of its own beside the daemon's work, quick to start and to stop.

Promises: the port is bound before `start` returns, so a port in use is an error of the start; `stop` takes no longer than
a second, whatever a client does.
"""

from __future__ import annotations

import errno
import socket
import threading

import uvicorn
from starlette.types import ASGIApp

from exporter.errors import Misconfigured

_PATIENCE_SECONDS = 0.5
_QUEUED_CONNECTIONS = 128


class WebServer:
    """Serves one application. `start` and `stop` are called once each, by the same thread."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, host: str, port: int) -> int:
        """Listen; returns the port (the one the system chose for port 0). Raises Misconfigured when that is impossible."""
        listener = _bound(host, port)
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app, loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None, log_level="warning",
                access_log=False, server_header=False, proxy_headers=False, timeout_graceful_shutdown=1,
            )
        )  # fmt: skip
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="web", daemon=True
        )
        self._thread.start()
        return int(listener.getsockname()[1])

    def stop(self) -> None:
        """End; requests in flight have half a second."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(_PATIENCE_SECONDS)
        self._server.force_exit = True
        self._thread.join(_PATIENCE_SECONDS)


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror:
        raise Misconfigured(
            [f"the web server cannot listen on {host}: no such host"],
            "set web.host to an address of this machine (127.0.0.1, or 0.0.0.0 for all)",
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_QUEUED_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise _refused(host, port, error) from None
    return listener


def _refused(host: str, port: int, error: OSError) -> Misconfigured:
    if error.errno == errno.EADDRINUSE:
        return Misconfigured(
            [f"port {port} on {host} is already in use by another program"],
            f"choose another port with web.port or DIFY_EXPORTER_WEB_PORT (for example {_neighbour(port)}; 0 takes any free one)",
        )
    return Misconfigured(
        [f"the web server cannot listen on {host}, port {port}: {error.strerror or type(error).__name__}"],
        "set web.host to an address of this machine and web.port to a port that may be used (above 1023 without root)",
    )


def _neighbour(port: int) -> int:
    return port + 1 if port < 65535 else port - 1
