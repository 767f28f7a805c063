"""The further requests of calls that own one already: what failed before, and the other rounds of an agent node.

A request joins a call only when no other call could own it, whether that call has found a request yet or not; and all
requests are judged before any joins, so that the order does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator

from exporter.model import Status
from exporter.vendor.fingerprint import CallPrint
from exporter.vendor.matching.candidates import CallId, Candidates, RequestId
from exporter.vendor.matching.evidence import Likeness, is_candidate, models, query_place
from exporter.vendor.matching.rivals import claimants
from exporter.vendor.matching.signs import Key, Level, prompt_key, word_key
from exporter.vendor.matching.timing import CLOCK_SECOND, fits_in_time, is_inside
from exporter.vendor.record import VendorCall

_MOST_TURNS = 4
"""The second turn finds the failed tries of an agent's further rounds; more than that does not follow from the first."""


def further_attempts(known: Candidates, owned: dict[RequestId, CallId]) -> None:
    """Add to `owned` every request that can only be a further attempt of one call, then what follows from that."""
    for _ in range(_MOST_TURNS):
        found = _claimed_once(known, owned)
        if not found:
            return
        owned.update(found)


def goes_on(request: VendorCall, attempt: VendorCall) -> bool:
    """Whether the attempt is the next one after the request, by the numbers their source gave them."""
    if request.source != attempt.source or request.attempt is None or attempt.attempt is None:
        return False
    return request.attempt + 1 == attempt.attempt and request.end <= attempt.start


def same_client_request(known: Candidates, owned: dict[RequestId, CallId]) -> None:
    """Add to `owned` the failed tries that share their group with a later request of one call, and of that call alone."""
    last: dict[tuple[str, str], dict[CallId, VendorCall]] = {}
    for identity, call_id in owned.items():
        request = known.requests[identity]
        if request.group is not None:
            attempts = last.setdefault((request.source, request.group), {})
            attempts[call_id] = max(
                request, attempts.get(call_id, request), key=lambda attempt: attempt.start
            )
    for identity in known.identities if last else ():
        request = known.requests[identity]
        attempts = last.get((request.source, request.group or ""), {})
        if identity in owned or len(attempts) != 1:
            continue
        ((call_id, attempt),) = attempts.items()
        call, is_before = known.calls[call_id], request.status != "ok" and request.end <= attempt.start
        if is_before and is_candidate(call, request) and fits_in_time(call, request, known.skew):
            owned[identity] = call_id


def _claimed_once(known: Candidates, owned: dict[RequestId, CallId]) -> dict[RequestId, CallId]:
    rivalled = claimants(known, owned)
    claims: dict[RequestId, dict[CallId, bool]] = {}
    for mine, call_id in owned.items():
        call, attempt = known.calls[call_id], known.requests[mine]
        for key in _keys(call, attempt):
            for other in known.near(call, key):
                request = known.requests[other]
                if other not in owned and _is_further(call, attempt, request, known):
                    calls = claims.setdefault(other, {})
                    calls[call_id] = calls.get(call_id, False) or goes_on(request, attempt)
    found = {request: _only(calls) for request, calls in claims.items() if request not in rivalled}
    return {request: call for request, call in found.items() if call is not None}


def _only(calls: dict[CallId, bool]) -> CallId | None:
    """The only call that claims a request, or the only one whose next attempt it was."""
    next_attempts = [call for call, is_next in calls.items() if is_next]
    if len(next_attempts) == 1:
        return next_attempts[0]
    return next(iter(calls)) if len(calls) == 1 else None


def _keys(call: CallPrint, attempt: VendorCall) -> Iterator[Key]:
    if attempt.prompt:
        yield prompt_key(attempt.prompt)
    if call.rounds is not None and call.query:
        yield word_key(call.query)


def _is_further(call: CallPrint, attempt: VendorCall, other: VendorCall, known: Candidates) -> bool:
    if not is_candidate(call, other) or not fits_in_time(call, other, known.skew):
        return False
    if known.level > Level.SIGN and not is_inside(call, other):
        return False  # rivals without words are not seen here
    if attempt.users and other.users and attempt.users != other.users:
        return False
    if models(attempt.model, other) is Likeness.DIFFERENT:
        return False
    return _is_retry(call, attempt, other) or _is_round(call, attempt, other)


def _is_retry(call: CallPrint, attempt: VendorCall, other: VendorCall) -> bool:
    """The same conversation sent before: it failed, or its answer was thrown away, which only a call whose times are
    exact can prove (the call had begun, and nothing else was going on)."""
    if attempt.prompt is None or other.prompt is None or attempt.prompt.messages != other.prompt.messages:
        return False
    was_before = other.end <= attempt.start
    if call.status is not Status.OK:
        return other.status != "ok" and (was_before or other.start >= attempt.end)
    if other.status != "ok":
        return was_before
    return was_before and call.started_at % CLOCK_SECOND != 0 and other.start >= call.started_at


def _is_round(call: CallPrint, attempt: VendorCall, other: VendorCall) -> bool:
    """Another round of the same agent node: both conversations begin alike up to the user's words."""
    if call.rounds is None:
        return False
    mine, theirs = opening(call, attempt), opening(call, other)
    return mine is not None and mine == theirs


def opening(call: CallPrint, request: VendorCall) -> tuple[str, ...] | None:
    """The conversation up to and with the call's query: what all requests of one call have in common."""
    place = query_place(call, request.prompt)
    return None if place is None or request.prompt is None else request.prompt.messages[: place + 1]
