"""Counts, amounts and times as vendors write them in their sums. What is none raises ValueError, which never quotes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from exporter.model import Tokens
from exporter.vendor.pullers.base import Bucket

MINUTE_SECONDS, HOUR_SECONDS, DAY_SECONDS = 60, 3_600, 86_400
WIDTHS = {"1m": MINUTE_SECONDS, "1h": HOUR_SECONDS, "1d": DAY_SECONDS}
_TOKEN_PARTS = ("input", "output", "cache_read", "cache_write", "reasoning")


def mapping(value: object, name: str) -> Mapping[str, Any]:
    """An object."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is not an object")
    return value


def rows(value: object, name: str) -> list[Any]:
    """A list."""
    if not isinstance(value, list):
        raise ValueError(f"{name} is not a list")
    return value


def count(row: Mapping[str, Any], name: str) -> int | None:
    """A count, also one written as text or as 12.0; None where there is none."""
    value = row.get(name)
    if value is None or value == "":
        return None
    number = _decimal(value, name)
    if number < 0 or number != number.to_integral_value():
        raise ValueError(f"{name} is not a count")
    return int(number)


def amount(row: Mapping[str, Any], name: str) -> Decimal | None:
    """An amount, also one written as text. A float is taken as it is printed, which is what the vendor wrote."""
    value = row.get(name)
    return None if value is None or value == "" else _decimal(value, name)


def _decimal(value: object, name: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{name} is not a number")
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError(f"{name} is not a number") from None
    if not number.is_finite():
        raise ValueError(f"{name} is not a number")
    return number


def text(row: Mapping[str, Any], name: str) -> str | None:
    """A name; None where there is none."""
    value = row.get(name)
    return str(value) if isinstance(value, str | int) and value != "" else None


def unix_seconds(row: Mapping[str, Any], name: str) -> int:
    """A moment, from RFC 3339 text or Unix seconds."""
    value = row.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"{name} is not a time") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def rfc3339_seconds(moment: int) -> str:
    """`2026-10-02T08:00:00Z`."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def summed(*counts: int | None) -> int | None:
    """The sum of what is known; None when nothing is."""
    known = [item for item in counts if item is not None]
    return sum(known) if known else None


def merged(buckets: Iterable[Bucket]) -> list[Bucket]:
    """Rows of the same stretch, model, key and part as one. A number that only one of them tells is that one's."""
    found: dict[tuple[object, ...], Bucket] = {}
    for item in buckets:
        identity = (
            item.source, item.report, item.starts_at, item.ends_at, item.model, item.key, item.group, item.currency,
        )  # fmt: skip
        known = found.get(identity)
        found[identity] = item if known is None else _added(known, item)
    return list(found.values())


def _added(one: Bucket, other: Bucket) -> Bucket:
    tokens = Tokens(
        *(summed(getattr(one.tokens, part), getattr(other.tokens, part)) for part in _TOKEN_PARTS)
    )
    costs = [item.cost for item in (one, other) if item.cost is not None]
    return replace(
        one,
        tokens=tokens,
        requests=summed(one.requests, other.requests),
        cost=sum(costs, Decimal(0)) if costs else None,
    )
