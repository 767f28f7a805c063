"""Dify's timestamps are naive and UTC; ours are `Micros`. Exact in both directions."""

from __future__ import annotations

from datetime import datetime, timedelta

from exporter.model import Micros

_EPOCH = datetime(1970, 1, 1)

END_OF_TIME = datetime(9999, 1, 1)
"""Rows at or after this are never read: PostgreSQL's `infinity` has no datetime."""


def to_micros(moment: datetime) -> Micros:
    """Microseconds since the epoch of a naive UTC datetime."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def to_naive(moment: Micros) -> datetime:
    """The naive UTC datetime that a query compares with; moments past `END_OF_TIME` become that."""
    try:
        return min(_EPOCH + timedelta(microseconds=moment), END_OF_TIME)
    except OverflowError:
        return END_OF_TIME if moment > 0 else _EPOCH
