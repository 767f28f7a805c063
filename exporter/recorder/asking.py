"""Asks for usage in a stream: `stream_options.include_usage` added to an OpenAI chat request that streams without it.

Touches nothing else of the body: the member is written in front of the closing brace, so every other byte stays. A
caller that says `include_usage` itself, true or false, is left as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import orjson

LONGEST_BODY = 8 * 2**20
"""A longer body is passed on as it comes: it would have to be held in memory before its first byte goes on."""

_ASKED = b'"stream_options":{"include_usage":true}'


def with_usage(body: bytes) -> bytes | None:
    """The body that asks for usage; None when it must stay as it is."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(request, dict) or request.get("stream") is not True:
        return None
    options = request.get("stream_options")
    if options is None and "stream_options" not in request:
        head = body.rstrip()[:-1].rstrip()
        return head + b"," + _ASKED + b"}"
    if isinstance(options, Mapping) and "include_usage" in options:
        return None
    if options is not None and not isinstance(options, Mapping):
        return None
    request["stream_options"] = {**(options or {}), "include_usage": True}
    return json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
