"""The canonical record itself, as a user writes it by hand."""

from __future__ import annotations

from collections.abc import Iterable


def generic(value: object) -> Iterable[object]:
    """The record, or the records of an array."""
    return value if isinstance(value, list) else (value,)
