"""What every answer carries, and which requests are answered at all.

Pages load nothing from elsewhere (the policy forbids it). A server on a loopback address answers only to loopback names:
a foreign web page that points its own name at 127.0.0.1 (DNS rebinding) is refused. On any other address the pages and
their JSON are shown only to who gives `web.token`; health, metrics and pushed evidence have rules of their own.
"""

from __future__ import annotations

import base64
import binascii
import hmac
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

_NO_TOKEN = (
    "This server can be reached from elsewhere (web.host), so its pages are shown only with a token.\n"
    "Set web.token (DIFY_EXPORTER_WEB_TOKEN), and give it as the password; any user name will do.\n"
)
_TOKEN_WANTED = "These pages want a token: give web.token as the password, with any user name.\n"
_OPEN = ("/healthz", "/readyz", "/metrics", "/v1/")
"""For probes, for Prometheus, and for senders of evidence, who have a token of their own."""


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

    def __init__(self, app: ASGIApp, listens_on: str, token: str = "") -> None:
        self._app = app
        self._loopback_only = is_loopback(listens_on)
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse foreign names and unknown readers, else pass on; and add the headers."""
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

        app = self._refusal(Headers(scope=scope), scope["path"]) or self._app
        await app(scope, receive, send_with_headers)

    def _refusal(self, headers: Headers, path: str) -> PlainTextResponse | None:
        """The answer to a request that is not let in. One without a Host header (an HTTP/1.0 probe) does not come from a
        browser."""
        host = headers.get("host")
        if self._loopback_only and host and not is_loopback(host_name(host)):
            return PlainTextResponse(_REFUSED, 421)
        if path.startswith(_OPEN):
            return None
        if not self._token:
            return None if self._loopback_only else PlainTextResponse(_NO_TOKEN, 403)
        if hmac.compare_digest(_given_token(headers).encode(), self._token.encode()):
            return None
        wanted = {"WWW-Authenticate": 'Basic realm="dify-exporter", charset="UTF-8"'}
        return PlainTextResponse(_TOKEN_WANTED, 401, headers=wanted)


def _given_token(headers: Headers) -> str:
    """What stands in the Authorization header, as a bearer token or as the password a browser asks for (RFC 7617)."""
    scheme, _, credentials = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials, validate=True).decode("utf-8").partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
