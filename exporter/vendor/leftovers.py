"""Requests whose words nobody can compare, given to the only call that can have sent them.

What is left when content has spoken: failed tries of calls that found their answer, and whole calls of which Dify kept
no numbers. For every request all calls that can have sent it are considered (model, user, time, how each ended); it goes
to one of them only when it is the only one, or the only one in whose time it lies by clocks that proved right. A call
takes such requests only when together they tell one story.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb

from exporter.model import Status
from exporter.vendor.attempts import goes_on, opening
from exporter.vendor.candidates import CallId, Candidates, RequestId
from exporter.vendor.evidence import Likeness, Pair, compare, is_candidate
from exporter.vendor.fingerprint import CallPrint
from exporter.vendor.passed_on import is_input_of, is_often_estimated, may_be_estimated
from exporter.vendor.record import VendorCall
from exporter.vendor.timing import SLOW_START, ended_inside, fits_in_time, is_inside

_MOST_COMBINATIONS = 1000
_RIGHT_CLOCK = 5
"""Proven pairs that must lie inside their calls for every one that does not, before a source's clock counts as right."""


@dataclass(frozen=True, slots=True)
class Found:
    """The requests of one call, in order, and what gave it to them (None: the call has its proof already)."""

    requests: tuple[RequestId, ...]
    method: str | None = None
    confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class _Claim:
    """A call that can have sent a request. `is_inside`: the request lies inside the call by the clocks as they are;
    `is_before`: it lies before its end; `goes_on`: the call's own request was the next attempt after it."""

    call: CallPrint
    pair: Pair
    is_inside: bool
    is_before: bool
    goes_on: bool


def leftovers(known: Candidates, owned: Mapping[RequestId, CallId]) -> dict[CallId, Found]:
    """What else belongs to which call; judged all at once, so that the order does not matter."""
    mine = _owned_by_call(known, owned)
    right = _right_clocks(known, owned)
    taken: dict[CallId, list[tuple[RequestId, _Claim]]] = {}
    for identity, claims in _claims(known, owned, mine).items():
        claim = _only(claims, identity[0] in right)
        if claim is not None:
            taken.setdefault(claim.call.call_id, []).append((identity, claim))
    found = {
        call_id: _story(known.calls[call_id], mine.get(call_id, ()), requests, known)
        for call_id, requests in taken.items()
    }
    return {call_id: story for call_id, story in found.items() if story is not None}


def _owned_by_call(known: Candidates, owned: Mapping[RequestId, CallId]) -> dict[CallId, list[VendorCall]]:
    mine: dict[CallId, list[VendorCall]] = {}
    for identity in known.identities:
        if identity in owned:
            mine.setdefault(owned[identity], []).append(known.requests[identity])
    return mine


def _right_clocks(known: Candidates, owned: Mapping[RequestId, CallId]) -> set[str]:
    """The sources whose proven requests lie where their calls are."""
    inside: dict[str, int] = {}
    outside: dict[str, int] = {}
    for identity, call_id in owned.items():
        call = known.calls[call_id]
        if call.status is Status.OK:
            count = inside if is_inside(call, known.requests[identity]) else outside
            count[identity[0]] = count.get(identity[0], 0) + 1
    return {source for source, good in inside.items() if good >= _RIGHT_CLOCK * outside.get(source, 0)}


def _claims(
    known: Candidates, owned: Mapping[RequestId, CallId], mine: Mapping[CallId, Sequence[VendorCall]]
) -> dict[RequestId, list[_Claim]]:
    claims: dict[RequestId, list[_Claim]] = {}
    for call in known.calls.values():
        for identity in known.around(call):
            request = known.requests[identity]
            if identity in owned or not is_candidate(call, request):
                continue
            pair = compare(call, request)
            if _can_have_sent(call, mine.get(call.call_id, ()), request, pair, known):
                claims.setdefault(identity, []).append(
                    _Claim(
                        call,
                        pair,
                        is_inside(call, request),
                        ended_inside(call, request, known.skew),
                        any(goes_on(request, attempt) for attempt in mine.get(call.call_id, ())),
                    )
                )
    return claims


def _can_have_sent(
    call: CallPrint, mine: Sequence[VendorCall], request: VendorCall, pair: Pair, known: Candidates
) -> bool:
    if Likeness.DIFFERENT in (pair.model, pair.user, pair.prompt):
        return False
    if not fits_in_time(call, request, known.skew, SLOW_START if pair.user is Likeness.EQUAL else 0):
        return False
    if call.status is not Status.OK:
        return call.status is Status.ERROR or request.status != "ok" or request.stream is not False
    if mine:
        return request.status != "ok" and request.end <= mine[-1].start
    if request.status == "error":
        return True
    is_other_answer = pair.answer in (Likeness.DIFFERENT, Likeness.PART)
    return call.rounds is not None or (may_be_estimated(call) and not is_other_answer)


def _only(claims: Sequence[_Claim], is_clock_right: bool) -> _Claim | None:
    """The one call that can have sent a request, if there is one."""
    if len(claims) == 1:
        return claims[0]
    if sum(claim.goes_on for claim in claims) == 1:
        return next(claim for claim in claims if claim.goes_on)
    inside = [claim for claim in claims if claim.is_inside] or [claim for claim in claims if claim.is_before]
    return inside[0] if is_clock_right and len(inside) == 1 else None


def _story(
    call: CallPrint, mine: Sequence[VendorCall], taken: list[tuple[RequestId, _Claim]], known: Candidates
) -> Found | None:
    """Those of the requests that make sense together, or None."""
    told = [(identity, claim) for identity, claim in taken if _is_supported(claim, known.requests[identity])]
    requests = [known.requests[identity] for identity, _ in told]
    if not told or not _one_after_the_other([*mine, *requests]) or not _one_conversation(call, requests):
        return None
    if mine:
        return Found(tuple(identity for identity, _ in told))
    if call.rounds is not None:
        return _rounds(call, told, known)
    answered = [request.prompt for request in requests if request.status == "ok"]
    if len(answered) > 1 and (None in answered or len(set(answered)) < len(answered)):
        return None  # what one call asks again it asks with more in it
    if call.status is Status.OK:
        return _answer(call, told, known)
    has_failed_last = requests[-1].status != "ok"
    if call.status is Status.ERROR and not has_failed_last:
        return None
    if call.status is not Status.ERROR and (len(answered) != 1 or has_failed_last):
        return None
    return Found(
        tuple(identity for identity, _ in told), "user+time" if _is_users(told) else "model+time", 0.5
    )


def _is_supported(claim: _Claim, request: VendorCall) -> bool:
    """At least two things speak for the pair: the user and the time; or the model and, by the clocks, the very time of a
    call that failed. Of an answer known only by its end nobody knows whose time it began in."""
    if request.started_at is None and request.status == "ok" and claim.call.rounds is None:
        return False
    if claim.pair.user is Likeness.EQUAL:
        return True
    has_model = claim.pair.model is Likeness.EQUAL
    return has_model and claim.is_inside and (request.status != "ok" or claim.call.rounds is not None)


def _is_users(told: Sequence[tuple[RequestId, _Claim]]) -> bool:
    return all(claim.pair.user is Likeness.EQUAL for _, claim in told)


def _one_after_the_other(requests: Sequence[VendorCall]) -> bool:
    ordered = sorted(requests, key=lambda request: (request.start, request.end))
    return all(before.end <= after.start for before, after in pairwise(ordered))


def _one_conversation(call: CallPrint, requests: Sequence[VendorCall]) -> bool:
    """Where prompts were logged they begin alike: up to the user's words, or wholly where these are not known."""
    begun = {opening(call, request) or request.prompt.messages for request in requests if request.prompt}
    return len(begun) < 2


def _answer(call: CallPrint, told: Sequence[tuple[RequestId, _Claim]], known: Candidates) -> Found | None:
    """The one answer of a call whose plugin counted by itself, with what failed before it."""
    answers = [identity for identity, _ in told if known.requests[identity].status != "error"]
    if len(answers) > 1:
        best = [identity for identity in answers if _shares_a_number(call, known.requests[identity])]
        answers = best if len(best) == 1 else []
    if not answers or not _is_users(told):
        return None
    answer = known.requests[answers[0]]
    if not _shares_a_number(call, answer) and not (is_often_estimated(call) and _is_alike(call, answer)):
        return None
    before = [identity for identity, _ in told if known.requests[identity].end <= answer.start]
    is_counted = _shares_a_number(call, answer)
    return Found(
        (*before, answers[0]), "count+user" if is_counted else "user+time", 0.65 if is_counted else 0.5
    )


def _is_alike(call: CallPrint, request: VendorCall) -> bool:
    """Whether Dify's output can be an estimate of the vendor's: less than twice or half as much."""
    mine, theirs = call.recorded.output, request.tokens.output if request.tokens else None
    return mine is not None and theirs is not None and theirs < 2 * mine and mine < 2 * theirs


def _shares_a_number(call: CallPrint, request: VendorCall) -> bool:
    if request.tokens is None or not call.recorded.total:
        return False
    return call.recorded.output == request.tokens.output or is_input_of(call, request.tokens)


def _rounds(call: CallPrint, told: Sequence[tuple[RequestId, _Claim]], known: Candidates) -> Found | None:
    """The rounds of an agent node: as many as it had, and their numbers add up to its own."""
    counted = [identity for identity, _ in told if known.requests[identity].tokens is not None]
    rounds = call.rounds or 0
    if not 0 < rounds <= len(counted) or comb(len(counted), rounds) > _MOST_COMBINATIONS:
        return None
    fitting = [
        chosen
        for chosen in combinations(counted, rounds)
        if _adds_up(call, [known.requests[identity] for identity in chosen])
    ]
    if len(fitting) != 1:
        return None
    first, last = known.requests[fitting[0][0]].start, known.requests[fitting[0][-1]].start
    failed = [
        identity
        for identity, _ in told
        if known.requests[identity].tokens is None and first <= known.requests[identity].start <= last
    ]
    return Found((*fitting[0], *failed), "rounds+tokens", 0.85)


def _adds_up(call: CallPrint, requests: Sequence[VendorCall]) -> bool:
    counts = [request.tokens for request in requests if request.tokens is not None]
    given, written = sum(count.input or 0 for count in counts), sum(count.output or 0 for count in counts)
    if call.recorded.total:
        return (call.recorded.input, call.recorded.output) == (given, written)
    return bool(call.recorded_total) and call.recorded_total == given + written
