"""Requests whose words nobody can compare, given to the only call that can have sent them.

What is left when content has spoken: failed tries of calls that found their answer, and whole calls of which Dify kept
no numbers. For every request all calls that can have sent it are considered (model, user, time, how each ended); it goes
to one of them only when it is the only one, or the only one in whose time it lies by clocks that proved right. A call
takes such requests only when together they tell one story.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exporter.model import Status
from exporter.vendor.fingerprint import CallPrint
from exporter.vendor.matching.attempts import goes_on
from exporter.vendor.matching.candidates import CallId, Candidates, RequestId
from exporter.vendor.matching.evidence import Likeness, Pair, compare, is_candidate
from exporter.vendor.matching.passed_on import may_be_estimated
from exporter.vendor.matching.rivals import right_clocks
from exporter.vendor.matching.stories import Claim, Found, story
from exporter.vendor.matching.timing import SLOW_START, ended_inside, fits_in_time, is_inside
from exporter.vendor.record import VendorCall


def leftovers(known: Candidates, owned: Mapping[RequestId, CallId]) -> dict[CallId, Found]:
    """What else belongs to which call; judged all at once, so that the order does not matter."""
    mine = _owned_by_call(known, owned)
    right = right_clocks(known, ((call_id, identity) for identity, call_id in owned.items()), fewest=1)
    taken: dict[CallId, list[Claim]] = {}
    for claims in _of_whole_groups(_claims(known, owned, mine)):
        claim = _only(claims, right)
        if claim is not None:
            taken.setdefault(claim.call.call_id, []).append(claim)
    told = {
        call_id: story(known.calls[call_id], mine.get(call_id, ()), claims)
        for call_id, claims in taken.items()
    }
    return {call_id: found for call_id, found in told.items() if found is not None}


def _owned_by_call(known: Candidates, owned: Mapping[RequestId, CallId]) -> dict[CallId, list[VendorCall]]:
    mine: dict[CallId, list[VendorCall]] = {}
    for identity in known.identities:
        if identity in owned:
            mine.setdefault(owned[identity], []).append(known.requests[identity])
    return mine


def _claims(
    known: Candidates, owned: Mapping[RequestId, CallId], mine: Mapping[CallId, Sequence[VendorCall]]
) -> list[list[Claim]]:
    """For every request without a call, in order, the calls that can have sent it."""
    claims: dict[RequestId, list[Claim]] = {}
    for call in known.calls.values():
        attempts = mine.get(call.call_id, ())
        for identity in known.around(call):
            request = known.requests[identity]
            if identity in owned or not is_candidate(call, request):
                continue
            pair = compare(call, request)
            if _can_have_sent(call, attempts, request, pair, known):
                claims.setdefault(identity, []).append(
                    Claim(
                        identity,
                        request,
                        call,
                        pair,
                        is_inside=is_inside(call, request),
                        is_before=ended_inside(call, request, known.skew),
                        goes_on=any(goes_on(request, attempt) for attempt in attempts),
                    )
                )
    return [claims[identity] for identity in known.identities if identity in claims]


def _can_have_sent(
    call: CallPrint, mine: Sequence[VendorCall], request: VendorCall, pair: Pair, known: Candidates
) -> bool:
    if Likeness.DIFFERENT in (pair.model, pair.user, pair.prompt):
        return False
    if not fits_in_time(call, request, known.skew, SLOW_START if pair.user is Likeness.EQUAL else 0):
        return False
    if mine:
        is_try = request.status != "ok"
        return is_try and (call.status is not Status.OK or request.end <= mine[-1].start)
    if call.status is not Status.OK:
        return call.status is Status.ERROR or request.status != "ok" or request.stream is not False
    if request.status == "error":
        return True
    is_other_answer = pair.answer in (Likeness.DIFFERENT, Likeness.PART)
    return call.rounds is not None or (may_be_estimated(call) and not is_other_answer)


def _of_whole_groups(claims: Sequence[list[Claim]]) -> list[list[Claim]]:
    """The attempts of one client request have one call: one that can have sent them all."""
    able: dict[tuple[str, str], set[CallId]] = {}
    for some in claims:
        group = some[0].request.group
        if group is not None:
            calls = {claim.call.call_id for claim in some}
            key = (some[0].request.source, group)
            able[key] = able[key] & calls if key in able else calls
    return [
        [
            claim
            for claim in some
            if claim.request.group is None
            or claim.call.call_id in able[claim.request.source, claim.request.group]
        ]
        for some in claims
    ]


def _only(claims: Sequence[Claim], right_clocks: set[str]) -> Claim | None:
    """The one call that can have sent a request, if there is one."""
    if len(claims) == 1:
        return claims[0]
    next_attempts = [claim for claim in claims if claim.goes_on]
    if len(next_attempts) == 1:
        return next_attempts[0]
    inside = [claim for claim in claims if claim.is_inside] or [claim for claim in claims if claim.is_before]
    return inside[0] if len(inside) == 1 and inside[0].identity[0] in right_clocks else None
