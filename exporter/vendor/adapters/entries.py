"""Reading single fields of a gateway's log entry, and the frame that every adapter shares.

Gateways write numbers as text, absence as `-`, and objects as JSON in text; the functions here read all of that. Absent
is None. A field that is there and cannot be read raises `Unfit`, whose words name the field and never its content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from exporter.vendor.adapters.base import Unreadable

Entry = Mapping[str, Any]
_ABSENT = frozenset({"", "-"})
_LARGEST = 10**18
_LONGEST_NUMBER = 40


class Unfit(ValueError):
    """An entry that should be a model request and cannot be read; the text names fields, never content."""


def each(value: object, read: Callable[[Entry], dict[str, Any] | None]) -> Iterator[object]:
    """The canonical records of one entry, or of an array of entries; None from `read` is no model request."""
    for entry in value if isinstance(value, list) else (value,):
        if not isinstance(entry, Mapping):
            yield Unreadable("an entry must be a JSON object")
            continue
        try:
            record = read(entry)
        except Unfit as problem:
            yield Unreadable(str(problem))
        else:
            if record is not None:
                yield _without_usage({name: field for name, field in record.items() if field is not None})


def _without_usage(record: dict[str, Any]) -> dict[str, Any]:
    """A gateway that saw no usage in a good answer still has its texts and times to tell the call by."""
    if "usage" in record or record.get("status", "ok") != "ok":
        return record
    return {**record, "usage_unknown": True}


def parsed(value: object) -> object:
    """The value in a JSON text; everything else, and text that is no JSON, as it is."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return value


def inner(place: Entry, *names: str) -> Entry:
    """The object under the first name that holds one, also when it is written as JSON text; empty when there is none."""
    for name in names:
        value = parsed(place.get(name))
        if isinstance(value, Mapping):
            return value
    return {}


def text(place: Entry, *names: str) -> str | None:
    """The text under the first name that holds one; a whole number is read as text."""
    for name in names:
        value = place.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST:
            return str(value)
        if isinstance(value, str) and value not in _ABSENT:
            return value
    return None


def number(place: Entry, *names: str) -> Decimal | None:
    """The number under the first name that holds something, exact. Raises Unfit."""
    for name in names:
        value = place.get(name)
        if value is None or (isinstance(value, str) and value.strip() in _ABSENT):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
            raise Unfit(f"{name} is not a number")
        return _decimal(value, name)
    return None


def whole(place: Entry, *names: str) -> int | None:
    """The whole number under the first name that holds something. Raises Unfit."""
    value = number(place, *names)
    if value is None:
        return None
    if value != int(value):
        raise Unfit(f"{' or '.join(names)} is not a whole number")
    return int(value)


def flag(place: Entry, *names: str) -> bool | None:
    """True or false under the first name that says one, also as text."""
    for name in names:
        value = place.get(name)
        if isinstance(value, str):
            value = {"true": True, "false": False}.get(value.lower())
        if isinstance(value, bool):
            return value
    return None


def derived_id(entry: Entry) -> str | None:
    """An id for an entry whose gateway gave it none: the same entry has the same id. None where it has no JSON form."""
    try:
        return hashlib.sha256(orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
    except (TypeError, ValueError):
        return None


def _decimal(value: int | float | str | Decimal, name: str) -> Decimal:
    written = repr(value) if isinstance(value, float) else value.strip() if isinstance(value, str) else value
    if isinstance(written, str) and len(written) > _LONGEST_NUMBER:
        raise Unfit(f"{name} is not a number")
    try:
        exact = Decimal(written)
    except InvalidOperation:
        raise Unfit(f"{name} is not a number") from None
    if not exact.is_finite() or exact.adjusted() > 30 or abs(exact) > _LARGEST * 1000:
        raise Unfit(f"{name} is not a possible number")
    return exact
