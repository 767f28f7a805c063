"""Comparing the ledgers that two sources of one Dify gave."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any


def differing(first: Any, second: Any, path: str = "") -> Iterator[str]:
    """Dotted paths at which two documents differ."""
    if isinstance(first, dict) and isinstance(second, dict):
        for name in first.keys() | second.keys():
            yield from differing(first.get(name), second.get(name), f"{path}.{name}" if path else name)
    elif first != second:
        yield path


def seconds(text: str) -> float:
    """A time of a document, in seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()
