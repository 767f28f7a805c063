"""Deterministic ids: pure functions of the Dify row, so that a resend is the same write.

Trace id = the 16 bytes of the record's UUID; span id = the lower 8 bytes of the row's UUID; synthetic spans
(rounds, tool calls inside an agent row) are hashed from trace, role and index. Dify's enterprise telemetry uses
the same scheme (reference: Dify §7.5).
"""

from __future__ import annotations

import hashlib
from uuid import UUID

ZERO_SPAN = "0" * 16
_LOWER_HEX = frozenset("0123456789abcdef")


def trace_id(record_id: str) -> str:
    """32 lower-case hex digits from a UUID text. Raises ValueError when it is not a UUID."""
    return _hex(record_id)


def span_id(row_id: str) -> str:
    """16 lower-case hex digits: the lower 8 bytes of a UUID text. Never all zero."""
    tail = _hex(row_id)[16:]
    return tail if tail != ZERO_SPAN else synthetic_span_id(row_id, "row")


def _hex(uuid_text: str) -> str:
    """The digits of a UUID; the usual spelling is taken apart without building an object for it."""
    digits = uuid_text.replace("-", "")
    if len(uuid_text) == 36 and len(digits) == 32 and _LOWER_HEX.issuperset(digits):
        return digits
    return UUID(uuid_text).hex


def synthetic_span_id(trace: str, role: str, *index: object) -> str:
    """16 hex digits for a span that has no row of its own."""
    seed = "\x1f".join((trace, role, *map(str, index)))
    tail = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return tail if tail != ZERO_SPAN else "0" * 15 + "1"
