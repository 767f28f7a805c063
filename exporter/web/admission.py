"""Who may push: known by a token; without one only programs of this machine, and never a web page.

Decided by the headers alone, before anything of the body is read.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from exporter.web.guard import is_loopback


class Refusal(Exception):
    """A request is answered with an error: its status, what is wrong in words, and headers that belong to it."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, dict(headers or {})


def admit(headers: Headers, token: str, listens_on: str) -> None:
    """Returns when the sender may push. Raises Refusal (401, 403)."""
    if token:
        if not _has_token(headers, token):
            raise Refusal(
                401,
                "the token is missing or wrong: send intake.token as 'Authorization: Bearer …' or 'X-Api-Key: …'",
                {"WWW-Authenticate": 'Bearer realm="dify-exporter"'},
            )
        return
    if not is_loopback(listens_on):
        raise Refusal(
            403,
            "this server can be reached from elsewhere (web.host), so vendor calls are taken only with a token:"
            " set intake.token (DIFY_EXPORTER_INTAKE_TOKEN) here and send it as 'Authorization: Bearer …'",
        )
    if _is_of_foreign_page(headers):
        raise Refusal(
            403, "vendor calls are not taken from web pages; set intake.token to push from elsewhere"
        )


def _has_token(headers: Headers, token: str) -> bool:
    scheme, _, credentials = headers.get("authorization", "").strip().partition(" ")
    given = (
        credentials.strip() if scheme.lower() == "bearer" else "",
        headers.get("x-api-key", "").strip(),
    )
    expected = token.encode("utf-8")
    return any(hmac.compare_digest(value.encode("latin-1"), expected) for value in given)


def _is_of_foreign_page(headers: Headers) -> bool:
    """Browsers name the page that a POST comes from; programs name none."""
    origin = headers.get("origin")
    if origin is not None and not _is_local(origin):
        return True
    return headers.get("sec-fetch-site", "none").lower() == "cross-site"


def _is_local(origin: str) -> bool:
    try:
        return is_loopback(urlsplit(origin).hostname or "")
    except ValueError:
        return False
