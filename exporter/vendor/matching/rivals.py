"""Which other calls could have sent a request: what stands against giving it to a call that fits well enough by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from exporter.model import Status
from exporter.vendor.fingerprint import CallPrint
from exporter.vendor.matching.candidates import CallId, Candidates, RequestId
from exporter.vendor.matching.evidence import Likeness, compare, is_candidate
from exporter.vendor.matching.timing import SLOW_START, fits_in_time, is_inside
from exporter.vendor.record import VendorCall


def claimants(known: Candidates, owned: Mapping[RequestId, CallId]) -> dict[RequestId, list[CallId]]:
    """For every request without a call the calls without a request that could have sent it."""
    has_one = set(owned.values())
    found: dict[RequestId, list[CallId]] = {}
    for call in known.calls.values():
        if call.call_id in has_one:
            continue
        for identity in known.around(call):
            if identity not in owned and could_have_sent(call, known.requests[identity], known):
                found.setdefault(identity, []).append(call.call_id)
    return found


def could_have_sent(call: CallPrint, request: VendorCall, known: Candidates) -> bool:
    """Whether nothing speaks against the pair."""
    if not is_candidate(call, request) or not fits_in_time(call, request, known.skew, SLOW_START):
        return False
    pair = compare(call, request)
    is_other_answer = pair.answer is Likeness.DIFFERENT and call.status is Status.OK
    return not is_other_answer and Likeness.DIFFERENT not in (pair.model, pair.user, pair.prompt)


def belongs_elsewhere(
    call_id: CallId, identity: RequestId, others: Collection[CallId], known: Candidates
) -> bool:
    """Whether the request lies outside of the call's time and inside that of another that could have sent it."""
    request = known.requests[identity]
    if is_inside(known.calls[call_id], request):
        return False
    return any(other != call_id and is_inside(known.calls[other], request) for other in others)


_ENOUGH = 5
"""Calls with a request inside their time for every one that has its requests outside, before a clock counts as right."""


def without_neighbours(known: Candidates) -> None:
    """By a clock that proves right, take out the pairs outside of their call's time where either side has one inside."""
    inside = {pair for pair in known.pairs if is_inside(known.calls[pair[0]], known.requests[pair[1]])}
    if len(inside) in (0, len(known.pairs)):
        return
    calls, requests = {call for call, _ in inside}, {request for _, request in inside}
    right = right_clocks(known, known.pairs, fewest=_ENOUGH)
    for pair in [pair for pair in known.pairs if pair not in inside and pair[1][0] in right]:
        if pair[0] in calls or pair[1] in requests:
            del known.pairs[pair]


def without_strangers(known: Candidates) -> None:
    """Take out the pairs whose request lies inside a call that did not end well and can have sent it, while it does not
    lie inside the pair's own call: such calls keep too little to show their side."""
    open_calls = [call for call in known.calls.values() if call.status is not Status.OK]
    if not open_calls or not known.pairs:
        return
    paired = {identity for _, identity in known.pairs}
    inside: dict[RequestId, list[CallId]] = {}
    for call in open_calls:
        for identity in {*known.around(call), *known.similar(call)} & paired:
            request = known.requests[identity]
            if is_inside(call, request) and could_have_sent(call, request, known):
                inside.setdefault(identity, []).append(call.call_id)
    for call_id, identity in list(known.pairs):
        if identity in inside and belongs_elsewhere(call_id, identity, inside[identity], known):
            del known.pairs[call_id, identity]


def right_clocks(known: Candidates, pairs: Iterable[tuple[CallId, RequestId]], fewest: int) -> set[str]:
    """The sources whose requests, by these pairs, lie inside their calls as far as those ended well; `fewest` calls must
    say so."""
    seen: dict[str, dict[CallId, bool]] = {}
    for call_id, identity in pairs:
        call = known.calls[call_id]
        if call.status is Status.OK:
            calls = seen.setdefault(identity[0], {})
            calls[call_id] = calls.get(call_id, False) or is_inside(call, known.requests[identity])
    good = {source: sum(calls.values()) for source, calls in seen.items()}
    return {
        source
        for source, count in good.items()
        if count >= max(fewest, _ENOUGH * (len(seen[source]) - count))
    }
