"""What every answer carries, and which requests are answered at all.

Pages load nothing from elsewhere (the policy forbids it), and a server on a loopback address answers only to loopback
names: a foreign web page that points its own name at 127.0.0.1 (DNS rebinding) is refused.
"""

from __future__ import annotations

import ipaddress

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_REFUSED = (
    "This server listens on a loopback address and answers only to localhost, 127.0.0.1 and [::1].\n"
    "To reach it under another name, set web.host to the address that it shall listen on.\n"
)


def is_loopback(host: str) -> bool:
    """True for localhost and the loopback addresses."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_name(header: str) -> str:
    """The host of a Host header without its port: `[::1]:9464` → `::1`."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, listens_on: str) -> None:
        self._app = app
        self._loopback_only = is_loopback(listens_on)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse foreign names, else pass on and add the headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        app = self._app if self._is_for_us(Headers(scope=scope)) else PlainTextResponse(_REFUSED, 421)
        await app(scope, receive, send_with_headers)

    def _is_for_us(self, headers: Headers) -> bool:
        """A request without a Host header (an HTTP/1.0 probe) does not come from a browser."""
        host = headers.get("host")
        return not self._loopback_only or not host or is_loopback(host_name(host))
