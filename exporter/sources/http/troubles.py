"""A source that knows what Dify refuses it just now, while the rest is read: for `status`, /readyz and the page."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class TellsTroubles(Protocol):
    """Its `describe` tells the present too, so both may be asked again and again: neither makes a request."""

    def troubles(self) -> tuple[str, ...]:
        """One sentence each: what, why, what to do. What works again is not told any more."""
