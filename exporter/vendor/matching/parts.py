"""A stretch of time taken apart into parts that have nothing to do with each other, each small enough to be solved.

Calls and requests are connected where they could belong together. What hangs together for too long, or too densely, is
taken apart again by stronger signs. A part never depends on what lies farther away than `PADDING`, so a stretch may be
matched slice by slice. The effort grows with the number of calls and requests, however alike they are.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from exporter.model import Micros
from exporter.vendor.fingerprint import CallPrint
from exporter.vendor.matching.signs import Key, Level, connections_of_call, connections_of_request
from exporter.vendor.matching.timing import LONGEST_CALL, SLOW_START, window
from exporter.vendor.record import VendorCall

LONGEST_PART: Micros = 120_000_000
"""Calls that began farther apart are not solved together."""

_ROOM: Micros = SLOW_START + 50_000_000


def padding(longest_call: Micros = LONGEST_CALL) -> Micros:
    """How far to look beyond a slice of time: with all calls that ran within so many microseconds before and after it, and
    all requests that began within as much of those calls, the slice's own calls get what they would get if everything
    were matched at once.

    `longest_call` may be given where it is known how long the longest call took that ran there. Holds for clock
    differences (`skew_seconds`) of up to 20 seconds.
    """
    return LONGEST_PART + min(longest_call, LONGEST_CALL) + _ROOM


PADDING: Micros = padding()
"""The same for calls of any length."""

_MOST_PAIRS = 4096
_MOST_PAIRS_PER_CALL = 64


@dataclass(frozen=True, slots=True)
class Part:
    """Calls and requests that hang together, both in the order of time. `is_crowd`: too many alike to be judged pair by
    pair."""

    calls: tuple[CallPrint, ...]
    requests: tuple[VendorCall, ...]
    level: Level
    is_crowd: bool = False


def parts(calls: Iterable[CallPrint], requests: Iterable[VendorCall], skew: Micros) -> Iterator[Part]:
    """The parts in which at least one request could belong to a call; each call and request is in at most one."""
    ordered_calls = sorted(calls, key=lambda call: (call.started_at, call.call_id))
    ordered_requests = sorted(
        requests, key=lambda request: (request.start, request.end, request.source, request.id)
    )
    waiting = [(ordered_calls, ordered_requests, Level.TIME)]
    while waiting:
        some_calls, some_requests, level = waiting.pop()
        for mine, theirs, pairs in _connected(some_calls, some_requests, level, skew):
            lasts = mine[-1].started_at - mine[0].started_at
            if lasts <= LONGEST_PART and pairs <= max(_MOST_PAIRS, _MOST_PAIRS_PER_CALL * len(mine)):
                yield Part(tuple(mine), tuple(theirs), level)
            elif level is Level.ALIKE:
                yield Part(tuple(mine), tuple(theirs), level, is_crowd=True)
            else:
                waiting.append((mine, theirs, Level(level + 1)))


def _connected(
    calls: Sequence[CallPrint], requests: Sequence[VendorCall], level: Level, skew: Micros
) -> Iterator[tuple[list[CallPrint], list[VendorCall], int]]:
    """The connected groups, with the number of pairs in each."""
    forest = list(range(len(requests) + len(calls)))
    showing = _by_sign(requests, level)
    pairs = [0] * len(calls)
    joined: dict[Key, int] = {}
    for place, first, behind in _reach(calls, requests, skew):
        for key in set(connections_of_call(calls[place], level)):
            alike = showing.get(key)
            if alike is None:
                continue
            low, high = bisect_left(alike, first), bisect_left(alike, behind)
            if low == high:
                continue
            pairs[place] += high - low
            _join(forest, len(requests) + place, alike[low])
            reached = joined.get(key, 0)
            for at in range(max(low, reached - 1), high - 1):
                _join(forest, alike[at], alike[at + 1])
            joined[key] = max(reached, high)
    if level is not Level.TIME:
        _join_groups(forest, requests)
    return _groups(forest, calls, requests, pairs)


def _by_sign(requests: Sequence[VendorCall], level: Level) -> dict[Key, Sequence[int]]:
    """The places of the requests that show a sign, in order."""
    if level is Level.TIME:
        return (
            dict.fromkeys(connections_of_request(requests[0], level), range(len(requests)))
            if requests
            else {}
        )
    showing: dict[Key, list[int]] = {}
    for place, request in enumerate(requests):
        for key in set(connections_of_request(request, level)):
            showing.setdefault(key, []).append(place)
    return dict(showing)


def _reach(
    calls: Sequence[CallPrint], requests: Sequence[VendorCall], skew: Micros
) -> Iterator[tuple[int, int, int]]:
    """Per call its place, the first request that began in its time and the one behind the last; in the order of the first."""
    starts = [request.start for request in requests]
    found = []
    for place, call in enumerate(calls):
        earliest, latest = window(call, skew, SLOW_START)
        first, behind = bisect_left(starts, earliest), bisect_right(starts, latest)
        if first < behind:
            found.append((first, place, behind))
    return ((place, first, behind) for first, place, behind in sorted(found))


def _join_groups(forest: list[int], requests: Sequence[VendorCall]) -> None:
    """The attempts of one client request belong together."""
    last: dict[tuple[str, str], int] = {}
    for place, request in enumerate(requests):
        if request.group is not None:
            before = last.get((request.source, request.group))
            if before is not None:
                _join(forest, before, place)
            last[request.source, request.group] = place


def _groups(
    forest: list[int], calls: Sequence[CallPrint], requests: Sequence[VendorCall], pairs: Sequence[int]
) -> Iterator[tuple[list[CallPrint], list[VendorCall], int]]:
    groups: dict[int, tuple[list[CallPrint], list[VendorCall], list[int]]] = {}
    for place, call in enumerate(calls):
        if pairs[place]:
            root = _root(forest, len(requests) + place)
            mine = groups.setdefault(root, ([], [], []))
            mine[0].append(call)
            mine[2].append(pairs[place])
    for place, request in enumerate(requests):
        theirs = groups.get(_root(forest, place))
        if theirs is not None:
            theirs[1].append(request)
    return ((mine, theirs, sum(counts)) for mine, theirs, counts in groups.values())


def _root(forest: list[int], node: int) -> int:
    while forest[node] != node:
        forest[node] = forest[forest[node]]
        node = forest[node]
    return node


def _join(forest: list[int], one: int, other: int) -> None:
    one, other = _root(forest, one), _root(forest, other)
    if one != other:
        forest[max(one, other)] = min(one, other)
