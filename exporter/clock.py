"""The only module that asks for the time. The outermost layer calls it and passes the answer in."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

from exporter.model import Micros


def now() -> Micros:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


def rfc3339(moment: Micros) -> str:
    """`2026-11-23T19:17:07.433732Z`."""
    seconds, fraction = divmod(moment, 1_000_000)
    days, seconds = divmod(seconds, 86_400)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_date(days)}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z"


@lru_cache(maxsize=1024)
def _date(days: int) -> str:
    """The date that many days after 1970-01-01; most times of a page fall on a few days."""
    return (date(1970, 1, 1) + timedelta(days=days)).isoformat()


def micros(moment: datetime) -> Micros:
    """Microseconds since the epoch of an aware datetime."""
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def at(moment: Micros, zone: tzinfo) -> datetime:
    """The aware datetime of a moment in a time zone."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)).astimezone(zone)
