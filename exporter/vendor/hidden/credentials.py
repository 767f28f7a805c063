"""Credential checks: what a plugin asks to try out a chat model that somebody saves in Dify.

Told only of requests that matching has left, because an end user may say "ping" as well.
"""

from __future__ import annotations

from exporter.vendor.fingerprint import message_hash
from exporter.vendor.record import VendorCall

_PINGS = frozenset(message_hash("user", text) for text in ("ping", "Ping", "ping!"))


def is_credential_check(request: VendorCall) -> bool:
    """A ping alone, for nobody; an end user who writes "ping" has a name, or a row that the request was matched to.
    Embeddings and reranks stay what they are, whatever they are made for."""
    if request.users or request.prompt is None or request.purpose is not None:
        return False
    return len(request.prompt.messages) == 1 and request.prompt.messages[0] in _PINGS
