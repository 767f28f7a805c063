"""Dify's timestamps are naive and UTC; ours are `Micros`. Exact in both directions."""

from __future__ import annotations

from datetime import datetime, timedelta

from exporter.model import SECOND, Micros

_EPOCH = datetime(1970, 1, 1)


END_OF_TIME = datetime(9999, 1, 1)
"""Rows at or after this are never read: PostgreSQL's `infinity` has no datetime."""


def to_micros(moment: datetime) -> Micros:
    """Microseconds since the epoch of a naive UTC datetime."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def end_of(started_at: Micros, lasted_seconds: float | None, ended_at: Micros | None) -> Micros | None:
    """An end that was told in whole seconds, as its start was. None, which leaves it to start and length, when they agree
    with it to the second: the length is known to the microsecond."""
    if ended_at is None or not lasted_seconds:
        return ended_at
    return None if abs(ended_at - started_at - lasted_seconds * SECOND) < SECOND else ended_at


def to_naive(moment: Micros) -> datetime:
    """The naive UTC datetime that a query compares with; moments past `END_OF_TIME` become that."""
    try:
        return min(_EPOCH + timedelta(microseconds=moment), END_OF_TIME)
    except OverflowError:
        return END_OF_TIME if moment > 0 else _EPOCH
