"""The only module that asks for the time. The outermost layer calls it and passes the answer in."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from exporter.model import Micros


def now() -> Micros:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


def rfc3339(moment: Micros) -> str:
    """`2026-11-23T19:17:07.433732Z`."""
    return (
        datetime.fromtimestamp(moment / 1_000_000, UTC)
        .replace(microsecond=moment % 1_000_000)
        .strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    )


def micros(moment: datetime) -> Micros:
    """Microseconds since the epoch of an aware datetime."""
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
