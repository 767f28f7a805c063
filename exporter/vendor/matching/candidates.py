"""The calls and requests of one part, and the pairs of them that some rule speaks for."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from exporter.model import Micros, Status
from exporter.vendor.fingerprint import CallPrint
from exporter.vendor.matching.evidence import is_candidate
from exporter.vendor.matching.parts import Part
from exporter.vendor.matching.rules import judge
from exporter.vendor.matching.signs import Key, Level, signs_of_call, signs_of_request, user_key
from exporter.vendor.matching.timing import SLOW_START, fits_in_time, is_inside, window
from exporter.vendor.record import VendorCall

CallId = str
RequestId = tuple[str, str]
"""Source and id: what makes a request the same request."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Calls and requests by their ids, and every pair that some rule speaks for (its place in `RULES`).

    `showing` lists, for each sign, the places of the requests that show it, in the order they began; `reach` holds, for
    each call, the first request that began in its time and the one behind the last.
    """

    calls: dict[CallId, CallPrint]
    requests: dict[RequestId, VendorCall]
    pairs: dict[tuple[CallId, RequestId], int]
    identities: tuple[RequestId, ...]
    showing: dict[Key, list[int]]
    reach: dict[CallId, tuple[int, int]]
    level: Level
    skew: Micros

    def near(self, call: CallPrint, key: Key) -> list[RequestId]:
        """The requests with this sign that began in the call's time."""
        first, behind = self.reach[call.call_id]
        alike = self.showing.get(key, ())
        low, high = bisect_left(alike, first), bisect_left(alike, behind)
        return [self.identities[place] for place in alike[low:high]]

    def similar(self, call: CallPrint) -> Iterable[RequestId]:
        """The requests that show one of the call's signs and began in its time."""
        signs = signs_of_call(call, self.level or Level.SIGN)
        return dict.fromkeys(found for key in signs for found in self.near(call, key))

    def around(self, call: CallPrint) -> Iterable[RequestId]:
        """All requests that may be told apart by user and time alone: where little happened, those that began in the
        call's time; else those of its user."""
        if self.level is Level.TIME:
            first, behind = self.reach[call.call_id]
            return self.identities[first:behind]
        if self.level is Level.SIGN:
            return dict.fromkeys(found for user in call.users for found in self.near(call, user_key(user)))
        return ()


def candidates(part: Part, skew: Micros) -> Candidates:
    """Index a part and judge the pairs that share a sign."""
    identities = tuple((request.source, request.id) for request in part.requests)
    starts = [request.start for request in part.requests]
    showing: dict[Key, list[int]] = {}
    for place, request in enumerate(part.requests):
        for key in {*signs_of_request(request, part.level or Level.SIGN), *_users(request, part.level)}:
            showing.setdefault(key, []).append(place)
    reach = {}
    for call in part.calls:
        earliest, latest = window(call, skew, SLOW_START)
        reach[call.call_id] = (bisect_left(starts, earliest), bisect_right(starts, latest))
    known = Candidates(
        calls={call.call_id: call for call in part.calls},
        requests=dict(zip(identities, part.requests, strict=True)),
        pairs={},
        identities=identities,
        showing=showing,
        reach=reach,
        level=part.level,
        skew=skew,
    )
    for call in part.calls:
        for identity in known.similar(call):
            rule = _rule(call, known.requests[identity], known)
            if rule is not None:
                known.pairs[call.call_id, identity] = rule
    return known


def _users(request: VendorCall, level: Level) -> Iterable[Key]:
    return (user_key(user) for user in request.users) if level <= Level.SIGN else ()


def _rule(call: CallPrint, request: VendorCall, known: Candidates) -> int | None:
    if not is_candidate(call, request) or not fits_in_time(call, request, known.skew, SLOW_START):
        return None
    if known.level > Level.SIGN and call.status is not Status.OK and not is_inside(call, request):
        return None  # where so much happens, calls that kept no words are not seen beside it
    return judge(call, request)
