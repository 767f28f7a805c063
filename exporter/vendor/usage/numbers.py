"""Reading one count out of a usage object: whole, not negative, not absurd; absent is None and never 0."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

Usage = Mapping[str, Any]
ABSURD_TOKENS = 10**9
"""No request has a thousand million tokens; such a number is damage, not a count."""

_ABSURD_AMOUNT = 10**18


class BadUsage(ValueError):
    """A usage object that cannot be read; the text names fields, never values."""


def count(usage: Usage, *path: str) -> int | None:
    """The whole number at a path of keys, or None when absent. Text and whole floats are read too (Tencent's SDK types
    cached tokens as text, Cohere's types all counts as floats). Raises BadUsage."""
    number = amount(usage, *path)
    if number is None:
        return None
    if not 0 <= number <= ABSURD_TOKENS or number != int(number):
        raise BadUsage(f"usage.{'.'.join(path)} is not a possible token count")
    return int(number)


def amount(usage: Usage, *path: str) -> Decimal | None:
    """The number at a path of keys, or None when absent (an empty text is absent too). Raises BadUsage."""
    value: Any = usage
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    if value is None or value == "":
        return None
    try:
        number = _decimal(value)
    except InvalidOperation:
        raise BadUsage(f"usage.{'.'.join(path)} is not a number") from None
    if not number.is_finite() or not -_ABSURD_AMOUNT <= number <= _ABSURD_AMOUNT:
        raise BadUsage(f"usage.{'.'.join(path)} is not a possible number")
    return number


def first(*counts: int | None) -> int | None:
    """The first known count."""
    return next((number for number in counts if number is not None), None)


def total(*counts: int | None) -> int | None:
    """The sum of the known counts; None when none is known."""
    known = [number for number in counts if number is not None]
    return sum(known) if known else None


def part(usage: Usage, key: str) -> Usage:
    """The object under a key; empty when there is none."""
    value = usage.get(key)
    return value if isinstance(value, Mapping) else {}


def objects(usage: Usage, key: str) -> list[Usage]:
    """The objects of the list under a key; empty when there is no such list."""
    value = usage.get(key)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _decimal(value: object) -> Decimal:
    """Exactly, and without the work that a text such as 1e999999 would ask for as a whole number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InvalidOperation
    return Decimal(value) if isinstance(value, int) else Decimal(str(value))
