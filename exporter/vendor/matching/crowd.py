"""Calls and requests so alike and so many that no single pair can be proven.

They are given to each other in the order of time, stretch by stretch, and only where it makes no difference which request
a call gets: all requests of the stretch have the same numbers, and there is one for every call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from exporter.model import Micros
from exporter.vendor.fingerprint import CallPrint
from exporter.vendor.matching.evidence import is_candidate
from exporter.vendor.matching.parts import LONGEST_PART, Part
from exporter.vendor.matching.rules import judge
from exporter.vendor.matching.timing import fits_in_time, window
from exporter.vendor.record import VendorCall

Numbers = tuple[object, ...]


def numbers(request: VendorCall) -> Numbers:
    """Everything about a request that a reading shows; equal numbers make two requests interchangeable."""
    return (request.tokens, request.cost, request.status, request.is_cache_hit)


def in_order_of_time(part: Part, skew: Micros) -> Iterator[tuple[CallPrint, VendorCall, int]]:
    """Pairs with their place in `RULES`."""
    requests = [request for request in part.requests if request.status != "error"]
    place = 0
    for calls, since, until in _stretches(part.calls):
        while place < len(requests) and requests[place].start < since:
            place += 1
        first = place
        while place < len(requests) and requests[place].start <= until:
            place += 1
        if calls[-1].started_at - calls[0].started_at <= LONGEST_PART:
            yield from _paired(calls, requests[first:place], skew)


def _stretches(calls: Sequence[CallPrint]) -> Iterator[tuple[list[CallPrint], Micros, Micros]]:
    """Calls that ran at the same time, directly or through others, with their common time by the clocks as they are."""
    together: list[CallPrint] = []
    since = until = 0
    for earliest, latest, place in sorted((*window(call, 0), place) for place, call in enumerate(calls)):
        if together and earliest > until:
            yield together, since, until
            together = []
        since, until = (since, max(until, latest)) if together else (earliest, latest)
        together.append(calls[place])
    if together:
        yield together, since, until


def _paired(
    calls: Sequence[CallPrint], requests: Sequence[VendorCall], skew: Micros
) -> list[tuple[CallPrint, VendorCall, int]]:
    if len(calls) != len(requests) or len({numbers(request) for request in requests}) != 1:
        return []
    pairs = []
    in_order = sorted(calls, key=lambda call: (call.started_at, call.call_id))
    for call, request in zip(in_order, requests, strict=True):
        if not is_candidate(call, request) or not fits_in_time(call, request, skew):
            return []
        rule = judge(call, request)
        if rule is None:
            return []
        pairs.append((call, request, rule))
    return pairs
