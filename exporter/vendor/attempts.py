"""The further requests of calls that own one already: what failed before, and the other rounds of an agent node.

A request joins a call only when no other call could own it, and all requests are judged before any joins, so that the
order does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator

from exporter.model import Status
from exporter.vendor.candidates import CallId, Candidates, Key, RequestId, prompt_key, word_key
from exporter.vendor.evidence import CLOCK_SECOND, Likeness, fits_in_time, is_candidate, models, query_place
from exporter.vendor.fingerprint import CallPrint
from exporter.vendor.record import VendorCall


def further_attempts(known: Candidates, owned: dict[RequestId, CallId]) -> None:
    """Add to `owned` every request that can only be a further attempt of one call, until nothing is added."""
    while found := _claimed_once(known, owned):
        owned.update(found)


def _claimed_once(known: Candidates, owned: dict[RequestId, CallId]) -> dict[RequestId, CallId]:
    claims: dict[RequestId, set[CallId]] = {}
    for mine, call_id in owned.items():
        call, attempt = known.calls[call_id], known.requests[mine]
        for key in _keys(call, attempt):
            for other in known.near(call, key):
                if other not in owned and _is_further(call, attempt, known.requests[other], known):
                    claims.setdefault(other, set()).add(call_id)
    return {request: next(iter(calls)) for request, calls in claims.items() if len(calls) == 1}


def _keys(call: CallPrint, attempt: VendorCall) -> Iterator[Key]:
    if attempt.prompt:
        yield prompt_key(attempt.prompt)
    if call.rounds is not None and call.query:
        yield word_key(call.query)


def _is_further(call: CallPrint, attempt: VendorCall, other: VendorCall, known: Candidates) -> bool:
    if not is_candidate(call, other) or not fits_in_time(call, other, known.skew):
        return False
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
        return was_before or other.start >= attempt.end
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
