"""The pairs of calls and requests worth judging, found through shared fingerprints instead of trying all with all."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest

from exporter.model import Micros
from exporter.vendor.evidence import SLOW_START, fits_in_time, is_candidate, judge, last_user, window
from exporter.vendor.fingerprint import BEGINNINGS, CallPrint, PromptPrint
from exporter.vendor.record import VendorCall

CallId = str
RequestId = tuple[str, str]
"""Source and id: what makes a request the same request."""

Key = tuple[object, ...]


MOST_ALIKE = 64
"""Requests looked at for one call and one fingerprint, nearest in time first: of so many equal ones none is proof."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Calls and requests by their ids, and every pair that some rule speaks for (its place in `RULES`).

    `sharing` lists the requests of each fingerprint in the order they began.
    """

    calls: dict[CallId, CallPrint]
    requests: dict[RequestId, VendorCall]
    pairs: dict[tuple[CallId, RequestId], int]
    sharing: dict[Key, list[RequestId]]
    skew: Micros

    def near(self, call: CallPrint, key: Key) -> list[RequestId]:
        """The requests with this fingerprint that began in the call's time."""
        alike = self.sharing.get(key, [])
        earliest, latest = window(call, self.skew, SLOW_START)
        first = bisect_left(alike, earliest, key=self._start)
        behind = bisect_right(alike, latest, key=self._start)
        if behind - first <= MOST_ALIKE:
            return alike[first:behind]
        middle = bisect_left(alike, call.started_at, key=self._start)
        found = alike[max(first, middle - MOST_ALIKE) : min(behind, middle + MOST_ALIKE)]
        return nsmallest(
            MOST_ALIKE, found, key=lambda identity: (abs(self._start(identity) - call.started_at), identity)
        )

    def _start(self, identity: RequestId) -> Micros:
        return self.requests[identity].start


def candidates(calls: Sequence[CallPrint], evidence: Sequence[VendorCall], skew: Micros) -> Candidates:
    """Index both sides (sorted, so that input order means nothing) and judge the pairs that share a fingerprint."""
    by_call = {call.call_id: call for call in sorted(calls, key=lambda call: (call.started_at, call.call_id))}
    ordered = sorted(evidence, key=lambda request: (request.start, request.end, request.source, request.id))
    by_request = {(request.source, request.id): request for request in ordered}
    sharing: dict[Key, list[RequestId]] = {}
    for identity, request in by_request.items():
        for key in set(_request_keys(request)):
            sharing.setdefault(key, []).append(identity)
    known = Candidates(by_call, by_request, {}, sharing, skew)
    for call in by_call.values():
        for identity in dict.fromkeys(found for key in _call_keys(call) for found in known.near(call, key)):
            rule = _rule(call, by_request[identity], skew)
            if rule is not None:
                known.pairs[call.call_id, identity] = rule
    return known


def prompt_key(prompt: PromptPrint) -> Key:
    """The fingerprint of a whole conversation."""
    return ("prompt", prompt.messages)


def word_key(message: str) -> Key:
    """The fingerprint of one message of the user."""
    return ("words", message)


def user_key(user: str) -> Key:
    """The fingerprint of an end user."""
    return ("user", user)


def _rule(call: CallPrint, request: VendorCall, skew: Micros) -> int | None:
    if not is_candidate(call, request) or not fits_in_time(call, request, skew, SLOW_START):
        return None
    return judge(call, request)


def _call_keys(call: CallPrint) -> Iterator[Key]:
    yield from (("tool_id", identity) for identity in call.answer.tool_ids)
    if call.answer.text:
        yield ("answer", call.answer.text)
    if call.answer.beginnings:
        yield _beginning(call.answer.beginnings)
    if call.prompt:
        yield prompt_key(call.prompt)
        yield word_key(last_user(call.prompt.messages) or "")
    if call.query:
        yield word_key(call.query)
    if call.recorded.total:
        yield ("tokens", call.recorded.input, call.recorded.output)


def _request_keys(request: VendorCall) -> Iterator[Key]:
    if request.answer:
        yield from (("tool_id", identity) for identity in request.answer.tool_ids)
        yield ("answer", request.answer.text)
        lengths = range(1, len(request.answer.beginnings) + 1)
        yield from (_beginning(request.answer.beginnings[:length]) for length in lengths)
    if request.prompt:
        yield prompt_key(request.prompt)
        yield from (word_key(message) for message in request.prompt.messages if message.startswith("u"))
    if request.tokens and request.answer is None and request.prompt is None:
        yield ("tokens", request.tokens.input, request.tokens.output)
    yield from (user_key(user) for user in request.users)


def _beginning(beginnings: tuple[str, ...]) -> Key:
    return ("beginning", BEGINNINGS[len(beginnings) - 1], beginnings[-1])
