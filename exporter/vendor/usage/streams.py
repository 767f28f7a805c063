"""From the events of a stream, in their order, to the usage of the whole request.

`StreamUsage` is fed one parsed JSON event at a time and keeps only the last usage and one sum per count, so that a
stream of any length costs the same memory. Never adds what a vendor repeats, never calls a cut stream final.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from exporter.vendor.usage.events import Event, Rule, event_of
from exporter.vendor.usage.increments import Increments, is_placeholder

_MOST_FIELDS = 64
"""No vendor's usage has more fields; what is merged field by field must not grow with a hostile stream."""


@dataclass(frozen=True, slots=True)
class StreamResult:
    """The usage of a request in the vendor's own words (null fields left out), and the shape `normalise` reads it with.

    `usage` is None when the vendor said none. `is_final`: the vendor ended its answer and counted it to the end; False
    for a stream that was cut (its usage, if any, is what was counted so far). `is_estimated`: the numbers fell on the
    way, so they were taken for increments and added up.
    """

    usage: dict[str, Any] | None
    shape: str | None
    is_final: bool
    is_estimated: bool = False


class StreamUsage:
    """Collects the usage of one stream: `feed` every event in order, then ask for the `result`."""

    __slots__ = (
        "_has_several",
        "_increments",
        "_is_complete",
        "_is_ended",
        "_is_fallback",
        "_shape",
        "_usage",
    )

    def __init__(self) -> None:
        self._usage: dict[str, Any] | None = None
        self._shape: str | None = None
        self._increments = Increments()
        self._is_fallback = False
        self._is_ended = False
        self._is_complete = False
        self._has_several = False

    def feed(self, chunk: object) -> None:
        """Take one parsed event; anything that is no event with usage is passed over. Never raises."""
        event = event_of(chunk)
        if event is None:
            return
        self._is_ended |= event.ends
        self._has_several |= event.is_one_of_several
        if event.usage is not None and not self._is_needless(event, event.usage):
            self._take(event, event.usage)

    def result(self) -> StreamResult:
        """The usage so far; after the last event that of the request."""
        if self._usage is None or is_placeholder(self._usage):
            return StreamResult(None, self._shape, is_final=False)
        usage, is_estimated = self._increments.applied_to(self._usage)
        return StreamResult(usage, self._shape, self._is_complete, is_estimated)

    def _is_needless(self, event: Event, usage: Mapping[str, Any]) -> bool:
        """What only repeats that nothing is known yet, and a middle man's word where the vendor has spoken."""
        if event.rule is Rule.FALLBACK:
            return self._usage is not None and not self._is_fallback
        return event.rule is not Rule.FIELDS and is_placeholder(usage)

    def _take(self, event: Event, usage: Mapping[str, Any]) -> None:
        is_whole = event.rule in (Rule.WHOLE, Rule.FALLBACK)
        self._usage = _merged({} if is_whole or self._is_fallback else self._usage or {}, usage)
        if event.rule is Rule.SO_FAR:
            self._increments.add(usage)
        else:
            self._increments = Increments()
        self._shape = event.shape
        self._is_fallback = event.rule is Rule.FALLBACK
        self._is_complete = self._is_ended and (is_whole or not self._has_several)


def usage_of_stream(chunks: Iterable[object]) -> StreamResult:
    """The usage of a whole stream from its parsed events."""
    stream = StreamUsage()
    for chunk in chunks:
        stream.feed(chunk)
    return stream.result()


def usage_of_body(body: object) -> StreamResult:
    """The usage of a response that was not streamed: a whole body is a stream of one event, and always final."""
    found = usage_of_stream((body,))
    return StreamResult(found.usage, found.shape, is_final=found.usage is not None)


def _merged(earlier: dict[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(earlier)
    for key, value in later.items():
        if value is not None and (key in merged or len(merged) < _MOST_FIELDS):
            merged[key] = value
    return merged
