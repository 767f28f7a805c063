"""Which of the requests that only one call can have sent make sense together, by how that call ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb

from exporter.model import Status
from exporter.vendor.fingerprint import CallPrint
from exporter.vendor.matching.attempts import opening
from exporter.vendor.matching.candidates import RequestId
from exporter.vendor.matching.evidence import Likeness, Pair
from exporter.vendor.matching.passed_on import is_input_of, is_often_estimated
from exporter.vendor.record import VendorCall

_MOST_COMBINATIONS = 1000


@dataclass(frozen=True, slots=True)
class Claim:
    """A request and a call that can have sent it. `is_inside`: the request lies inside the call by the clocks as they
    are; `is_before`: it lies before its end; `goes_on`: the call's own request was the next attempt after it."""

    identity: RequestId
    request: VendorCall
    call: CallPrint
    pair: Pair
    is_inside: bool
    is_before: bool
    goes_on: bool


@dataclass(frozen=True, slots=True)
class Found:
    """The requests of one call, and what gave it to them (None: the call has its proof already)."""

    requests: tuple[RequestId, ...]
    method: str | None = None
    confidence: float = 0.0


def story(call: CallPrint, mine: Sequence[VendorCall], claims: Sequence[Claim]) -> Found | None:
    """Those of the requests that make sense together beside the call's own, or None."""
    told = [claim for claim in claims if _is_supported(claim)]
    requests = [claim.request for claim in told]
    if not told or not _one_after_the_other([*mine, *requests]) or not _one_conversation(call, requests):
        return None
    if mine:
        return Found(_identities(told))
    if call.rounds is not None:
        return _rounds(call, call.rounds, told)
    if _is_answered_again(requests):
        return None
    return _answer(call, told) if call.status is Status.OK else _ended_badly(call, told)


def _is_supported(claim: Claim) -> bool:
    """At least two things speak for the pair: the user and the time; or the model and, by the clocks, the very time of a
    call that failed. Of an answer known only by its end nobody knows whose time it began in."""
    request, has_rounds = claim.request, claim.call.rounds is not None
    if request.started_at is None and request.status == "ok" and not has_rounds:
        return False
    if claim.pair.user is Likeness.EQUAL:
        return True
    has_model = claim.pair.model is Likeness.EQUAL
    return has_model and claim.is_inside and (request.status != "ok" or has_rounds)


def _one_after_the_other(requests: Sequence[VendorCall]) -> bool:
    ordered = sorted(requests, key=lambda request: (request.start, request.end))
    return all(before.end <= after.start for before, after in pairwise(ordered))


def _one_conversation(call: CallPrint, requests: Sequence[VendorCall]) -> bool:
    """Where prompts were logged they begin alike: up to the user's words, or wholly where these are not known."""
    begun = {opening(call, request) or request.prompt.messages for request in requests if request.prompt}
    return len(begun) < 2


def _is_answered_again(requests: Sequence[VendorCall]) -> bool:
    """Whether something was answered twice: what one call asks again it asks with more in it."""
    answered = [request.prompt for request in requests if request.status == "ok"]
    return len(answered) > 1 and (None in answered or len(set(answered)) < len(answered))


def _ended_badly(call: CallPrint, told: Sequence[Claim]) -> Found | None:
    """A failed call's last request failed; a stopped or unfinished one was being answered."""
    if (told[-1].request.status == "ok") is (call.status is Status.ERROR):
        return None
    if call.status is not Status.ERROR and sum(claim.request.status == "ok" for claim in told) != 1:
        return None
    return Found(_identities(told), "user+time" if _is_users(told) else "model+time", 0.5)


def _answer(call: CallPrint, told: Sequence[Claim]) -> Found | None:
    """The one answer of a call whose plugin counted by itself, with what failed before it."""
    answers = [claim for claim in told if claim.request.status != "error"]
    if len(answers) != 1 or not _is_users(told):
        return None
    answer = answers[0].request
    before = [claim for claim in told if claim.request.end <= answer.start]
    if _shares_a_number(call, answer):
        return Found(_identities([*before, answers[0]]), "count+user", 0.65)
    if is_often_estimated(call) and _can_be_an_estimate(call, answer):
        return Found(_identities([*before, answers[0]]), "user+time", 0.5)
    return None


def _shares_a_number(call: CallPrint, request: VendorCall) -> bool:
    if request.tokens is None or not call.recorded.total:
        return False
    return call.recorded.output == request.tokens.output or is_input_of(call, request.tokens)


def _can_be_an_estimate(call: CallPrint, request: VendorCall) -> bool:
    """Whether Dify's output is less than twice and more than half the vendor's."""
    mine, theirs = call.recorded.output, request.tokens.output if request.tokens else None
    return mine is not None and theirs is not None and theirs < 2 * mine and mine < 2 * theirs


def _rounds(call: CallPrint, rounds: int, told: Sequence[Claim]) -> Found | None:
    """The rounds of an agent node: as many as it had, and their numbers add up to its own."""
    counted = [claim for claim in told if claim.request.tokens is not None]
    if not 0 < rounds <= len(counted) or comb(len(counted), rounds) > _MOST_COMBINATIONS:
        return None
    fitting = [chosen for chosen in combinations(counted, rounds) if _adds_up(call, chosen)]
    if len(fitting) != 1:
        return None
    first, last = fitting[0][0].request.start, fitting[0][-1].request.start
    failed = [
        claim for claim in told if claim.request.tokens is None and first <= claim.request.start <= last
    ]
    return Found(_identities([*fitting[0], *failed]), "rounds+tokens", 0.85)


def _adds_up(call: CallPrint, chosen: Sequence[Claim]) -> bool:
    counts = [claim.request.tokens for claim in chosen if claim.request.tokens is not None]
    given, written = sum(count.input or 0 for count in counts), sum(count.output or 0 for count in counts)
    if call.recorded.total:
        return (call.recorded.input, call.recorded.output) == (given, written)
    return bool(call.recorded_total) and call.recorded_total == given + written


def _is_users(told: Sequence[Claim]) -> bool:
    return all(claim.pair.user is Likeness.EQUAL for claim in told)


def _identities(claims: Sequence[Claim]) -> tuple[RequestId, ...]:
    return tuple(claim.identity for claim in claims)
