"""Credential checks: what a plugin asks to try out a model that somebody saves in Dify.

Told only of requests that matching has left, because an end user may say "ping" as well.
"""

from __future__ import annotations

from exporter.vendor.fingerprint import message_hash
from exporter.vendor.hidden.words import query_hash
from exporter.vendor.record import VendorCall

_PINGS = frozenset(message_hash("user", text) for text in ("ping", "Ping", "ping!"))
_RERANKED = (
    query_hash("What is the capital of the United States?"),
    query_hash(
        "Carson City is the capital city of the American state of Nevada. At the 2010 United States Census, Carson City"
        " had a population of 55,274."
    ),
)
"""What the official plugins ask when credentials of a rerank model are saved."""


def is_credential_check(request: VendorCall) -> bool:
    """A ping alone, for nobody; an end user who writes "ping" has a name, or a row that the request was matched to."""
    if request.users or request.prompt is None:
        return False
    messages = request.prompt.messages
    if request.purpose == "rerank":
        return messages[:2] == _RERANKED
    return len(messages) == 1 and messages[0] in _PINGS
