"""What an adapter is, and how it says that it cannot read an entry."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

Adapter = Callable[[object], Iterable[object]]
"""From a parsed JSON value (one entry, or an array of them) to canonical records (mappings) and `Unreadable` entries."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry that should be a model request and is not one; `reason` names fields and never repeats content."""

    reason: str
