"""Who asked, what for, with which key: the names that several gateways write in the same places.

Never passes on a key: what could be one is shown as the beginning of its SHA-256.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from exporter.vendor.adapters.entries import text

_OPERATIONS = (
    ("embed", "embeddings"),
    ("rerank", "rerank"),
    ("responses", "responses"),
    ("text_completion", "completion"),
    ("chat", "chat"),
    ("completions", "completion"),
    ("completion", "chat"),
    ("messages", "chat"),
    ("generate", "chat"),
    ("converse", "chat"),
    ("generation", "chat"),
)
_OTHER_WORK = ("image", "audio", "speech", "transcri", "video", "moderation", "realtime", "/files", "batch")
_NO_SECRET = re.compile(r"[0-9a-fA-F]{16,128}")
_SECRET = re.compile(r"^(?:bearer\s|sk-|rk-|pk-|gsk_|xai-|hf_|AIza|AKIA|ak-|key-|Basic\s)", re.IGNORECASE)


def operation_of(kind: str | None) -> str | None:
    """The operation that a path, a request type or a call type names; None when it names none of ours.

    The first fitting word decides: `/v1/chat/completions` is chat, `/v1/completions` is a legacy completion, and
    LiteLLM's `acompletion` is chat.
    """
    words = (kind or "").lower().partition("?")[0]
    if any(word in words for word in _OTHER_WORK):
        return None
    return next((operation for word, operation in _OPERATIONS if word in words), None)


def user_of(request: object) -> str | None:
    """The end user a request body names: OpenAI's `user` (or what replaced it), Anthropic's `metadata.user_id`."""
    if not isinstance(request, Mapping):
        return None
    metadata = request.get("metadata")
    named = text(metadata, "user_id") if isinstance(metadata, Mapping) else None
    return text(request, "user") or named or text(request, "safety_identifier", "user_id")


def app_of(*places: object) -> str | None:
    """The Dify app in the first place (metadata, labels) that names one; sent only where an operator switched it on."""
    found = (text(place, "dify_app_id") for place in places if isinstance(place, Mapping))
    return next(filter(None, found), None)


def key_name(*names: str | None) -> str | None:
    """The first known name of a key: an alias or a hash as it is, anything that looks like a key as its hash."""
    name = next(filter(None, names), None)
    if name is None or not _SECRET.match(name):
        return name
    return hashed_key(name)


def hashed_key(value: str | None) -> str | None:
    """A field that may hold a key itself: a hash in hex as it is, anything else as the beginning of its SHA-256."""
    if not value or _NO_SECRET.fullmatch(value):
        return value or None
    return "sha256:" + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]
