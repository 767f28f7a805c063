"""The same vendor request in the logs of several sources (a gateway and the vendor, a callback and a spend log).

Two records are copies when they share an id, or, where the sources know no common id, when everything that both tell is
equal and they ran at the same time. One record has at most one copy in another source, and none in its own: equal requests
of one source are different requests. Pure, and the order of the input means nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from exporter.model import Micros
from exporter.vendor.matching.evidence import plain_model
from exporter.vendor.record import VendorCall

RequestId = tuple[str, str]
"""Source and id."""

_SAME_ID_WITHIN: Micros = 600_000_000
"""How far apart in time two records of one id may lie (one may know its end only, a clock may be wrong)."""

_TELLING_ID = 12
"""Characters from which an id that is not all digits is nobody else's."""

_MOST_LIKE = 16
"""Records of another source looked at for one record, nearest in time."""

Link = tuple[int, Micros, RequestId, RequestId]
"""Strength (0 strongest), distance in time, and the two records."""


def copies(requests: Iterable[VendorCall], skew_seconds: float = 2.0) -> dict[RequestId, RequestId]:
    """Copy → original. The original is the record that tells most; times may differ by `skew_seconds`."""
    known = {(request.source, request.id): request for request in requests}
    ordered = sorted(
        known.values(), key=lambda request: (request.end, request.start, request.source, request.id)
    )
    if len({request.source for request in ordered}) < 2:
        return {}
    links = [*_by_id(ordered), *_by_content(ordered, round(skew_seconds * 1_000_000))]
    found: dict[RequestId, RequestId] = {}
    for group in _groups(sorted(links)):
        original = min(group, key=lambda identity: (_poverty(known[identity]), identity))
        found.update({identity: original for identity in group if identity != original})
    return found


def _groups(links: Iterable[Link]) -> list[list[RequestId]]:
    """Records that are one request, at most one of each source; stronger and nearer links first."""
    group_of: dict[RequestId, list[RequestId]] = {}
    for _, _, one, other in links:
        mine, theirs = group_of.get(one, [one]), group_of.get(other, [other])
        if mine is theirs or {source for source, _ in mine} & {source for source, _ in theirs}:
            continue
        together = mine + theirs
        group_of.update(dict.fromkeys(together, together))
    return list({id(group): group for group in group_of.values()}.values())


def _by_id(ordered: Sequence[VendorCall]) -> Iterator[Link]:
    named: dict[str, list[VendorCall]] = {}
    for request in ordered:
        for name in {request.id, request.response_id} - {None}:
            named.setdefault(str(name), []).append(request)
    for name, alike in named.items():
        sources = [request.source for request in alike]
        if len(set(sources)) < len(sources):
            continue  # an id that a source uses again tells nothing
        for one, other in combinations(alike, 2):
            is_telling = len(name) >= _TELLING_ID and not name.isdigit()
            if _distance(one, other) <= _SAME_ID_WITHIN and (is_telling or _agree(one, other)):
                yield 0, _distance(one, other), _identity(one), _identity(other)


def _by_content(ordered: Sequence[VendorCall], skew: Micros) -> Iterator[Link]:
    alike: dict[tuple[object, ...], dict[str, list[VendorCall]]] = {}
    for request in ordered:
        counts = (request.tokens.input, request.tokens.output) if request.tokens else None
        kind = (request.operation, request.status, request.is_cache_hit, counts)
        alike.setdefault(kind, {}).setdefault(request.source, []).append(request)
    for by_source in alike.values():
        for one, other in combinations(sorted(by_source), 2):
            yield from _between(by_source[one], by_source[other], skew)


def _between(few: Sequence[VendorCall], many: Sequence[VendorCall], skew: Micros) -> Iterator[Link]:
    ends = [request.end for request in many]
    for request in few:
        first, behind = bisect_left(ends, request.end - skew), bisect_right(ends, request.end + skew)
        middle = bisect_left(ends, request.end)
        for other in many[max(first, middle - _MOST_LIKE) : min(behind, middle + _MOST_LIKE)]:
            if _at_the_same_time(request, other, skew) and _agree(request, other):
                yield 1, _distance(request, other), _identity(request), _identity(other)


def _at_the_same_time(one: VendorCall, other: VendorCall, skew: Micros) -> bool:
    if one.started_at is None or other.started_at is None:
        return True
    return abs(one.started_at - other.started_at) <= skew


def _agree(one: VendorCall, other: VendorCall) -> bool:
    """Whether everything that both tell is equal."""
    return (
        bool(_models(one) & _models(other))
        and _equal(_numbers(one), _numbers(other))
        and _equal(one.http_status, other.http_status)
        and _equal(one.prompt, other.prompt)
        and _equal(one.answer, other.answer)
        and _equal(one.dify_app_id, other.dify_app_id)
        and (not one.users or not other.users or bool(set(one.users) & set(other.users)))
    )


def _equal(one: object, other: object) -> bool:
    return one is None or other is None or one == other


def _numbers(request: VendorCall) -> tuple[int | None, int | None] | None:
    return (request.tokens.input, request.tokens.output) if request.tokens else None


def _models(request: VendorCall) -> set[str]:
    return {plain_model(name) for name in (request.model, request.response_model) if name}


def _distance(one: VendorCall, other: VendorCall) -> Micros:
    apart = abs(one.end - other.end)
    if one.started_at is not None and other.started_at is not None:
        apart += abs(one.started_at - other.started_at)
    return apart


def _identity(request: VendorCall) -> RequestId:
    return (request.source, request.id)


def _poverty(request: VendorCall) -> tuple[bool, ...]:
    """What a record does not tell, the most important first."""
    return (
        request.tokens is None or request.is_estimated,
        request.prompt is None,
        request.answer is None,
        request.started_at is None or request.ended_at is None,
        not request.users,
        request.cost is None,
        request.group is None,
        request.dify_app_id is None,
    )
