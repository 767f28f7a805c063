"""Requests of calls of which Dify kept next to nothing: failed, stopped and abandoned ones, and failed agent nodes.

The end user's words are known of some calls, only who asked and when of others. A call is given all requests that share
one conversation, and nothing when a second conversation or a second call could be meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from exporter.model import Status
from exporter.vendor.fingerprint import CallPrint
from exporter.vendor.matching.assign import components
from exporter.vendor.matching.attempts import opening
from exporter.vendor.matching.candidates import CallId, Candidates, RequestId
from exporter.vendor.matching.evidence import Likeness, compare, is_candidate, models, users
from exporter.vendor.matching.rivals import claimants
from exporter.vendor.matching.signs import Level, user_key, word_key
from exporter.vendor.matching.timing import SLOW_START, fits_in_time, is_inside
from exporter.vendor.record import VendorCall

Conversation = Callable[[CallPrint, VendorCall], object]
Pairs = list[tuple[CallId, RequestId]]


@dataclass(frozen=True, slots=True)
class Search:
    """One way to find the requests of calls that kept little: its name in the reading, how sure it is, and how."""

    method: str
    confidence: float
    find: Callable[[Candidates, dict[RequestId, CallId]], dict[CallId, list[RequestId]]]


def by_query_and_user(known: Candidates, owned: dict[RequestId, CallId]) -> dict[CallId, list[RequestId]]:
    """By the user's words, who asked, model and time."""
    return _undisputed(known, owned, _same_user(known, _with_query(known, owned)), opening)


def by_query(known: Candidates, owned: dict[RequestId, CallId]) -> dict[CallId, list[RequestId]]:
    """By the user's words, model and time, where who asked is not known on one side."""
    return _undisputed(known, owned, _with_query(known, owned), opening)


def by_user(known: Candidates, owned: dict[RequestId, CallId]) -> dict[CallId, list[RequestId]]:
    """By who asked and when: all that is left of a failed, stopped or unfinished node."""
    pairs = [
        (call.call_id, request)
        for call in _without_request(known, owned)
        if call.status is not Status.OK and call.prompt is None
        for request in dict.fromkeys(near for user in call.users for near in known.near(call, user_key(user)))
        if request not in owned and _may_be_lost(call, known.requests[request], known)
    ]
    return _undisputed(known, owned, _same_user(known, pairs), _whole)


SEARCHES = (
    Search("query+user", 0.85, by_query_and_user),
    Search("query+time", 0.8, by_query),
    Search("user+time", 0.6, by_user),
)
"""In this order; each sees only what the earlier ones left."""


def _with_query(known: Candidates, owned: dict[RequestId, CallId]) -> Pairs:
    return [
        (call.call_id, request)
        for call in _without_request(known, owned)
        if call.query and call.prompt is None
        for request in known.near(call, word_key(call.query))
        if request not in owned and _asks_the_query(call, known.requests[request], known)
    ]


def _same_user(known: Candidates, pairs: Pairs) -> Pairs:
    return [pair for pair in pairs if users(known.calls[pair[0]], known.requests[pair[1]]) is Likeness.EQUAL]


def _without_request(known: Candidates, owned: dict[RequestId, CallId]) -> Iterator[CallPrint]:
    has_one = set(owned.values())
    return (call for call in known.calls.values() if call.call_id not in has_one)


def _asks_the_query(call: CallPrint, request: VendorCall, known: Candidates) -> bool:
    pair = compare(call, request)
    if call.status is Status.OK and call.rounds is None:
        return False
    return (
        is_candidate(call, request)
        and fits_in_time(call, request, known.skew, SLOW_START if known.level <= Level.SIGN else 0)
        and pair.model is not Likeness.DIFFERENT
        and pair.user is not Likeness.DIFFERENT
        and pair.prompt is Likeness.PART
    )


def _may_be_lost(call: CallPrint, request: VendorCall, known: Candidates) -> bool:
    """A failed call had a failing request; one that was stopped or never finished may have had any. Without the
    request's prompt nothing tells it from Dify's own requests and from another conversation."""
    if call.status is Status.ERROR and request.status == "ok":
        return False
    if request.prompt is None or compare(call, request).prompt is Likeness.DIFFERENT:
        return False
    return (
        is_candidate(call, request)
        and fits_in_time(call, request, known.skew)
        and models(call.model, request) is not Likeness.DIFFERENT
    )


def _whole(call: CallPrint, request: VendorCall) -> object:
    return request.prompt


def _undisputed(
    known: Candidates, owned: dict[RequestId, CallId], pairs: Pairs, conversation: Conversation
) -> dict[CallId, list[RequestId]]:
    """Per connected part: one call and one conversation, or as many conversations as calls, one after the other."""
    found: dict[CallId, list[RequestId]] = {}
    for part in components(_unrivalled(known, owned, pairs)):
        calls = sorted((known.calls[call] for call in part), key=lambda call: (call.started_at, call.call_id))
        groups: dict[object, list[RequestId]] = {}
        for request in sorted(
            {r for mine in part.values() for r in mine}, key=lambda r: (known.requests[r].start, r)
        ):
            groups.setdefault(conversation(calls[0], known.requests[request]), []).append(request)
        told = list(groups.values())
        if None in groups or len(told) != len(calls) or not _in_sequence(calls, told, known):
            continue
        if not all(_is_story(call, group, known) for call, group in zip(calls, told, strict=True)):
            continue
        if all(set(group) <= set(part[call.call_id]) for call, group in zip(calls, told, strict=True)):
            found |= {call.call_id: group for call, group in zip(calls, told, strict=True)}
    return found


def _unrivalled(known: Candidates, owned: dict[RequestId, CallId], pairs: Pairs) -> Pairs:
    """Without the pairs whose request a call that is not searched for could have sent as well."""
    if not pairs:
        return []
    able = claimants(known, owned)
    searched = {call for call, _ in pairs}
    others = {
        identity: [call for call in able.get(identity, ()) if call not in searched] for _, identity in pairs
    }
    return [
        (call, identity)
        for call, identity in pairs
        if not others[identity]
        or _is_nearer(known.calls[call], others[identity], known.requests[identity], known)
    ]


def _is_nearer(call: CallPrint, others: Iterable[CallId], request: VendorCall, known: Candidates) -> bool:
    return is_inside(call, request) and not any(is_inside(known.calls[other], request) for other in others)


def _is_story(call: CallPrint, group: list[RequestId], known: Candidates) -> bool:
    """A failed call's last request failed; another one was answered. One conversation answered twice was asked by two
    calls, of which one is not known."""
    requests = [known.requests[identity] for identity in group]
    answered = [request.prompt for request in requests if request.status == "ok"]
    if len(set(answered)) < len(answered):
        return False
    if call.status is Status.ERROR:
        return requests[-1].status != "ok"
    return any(request.status != "error" for request in requests)


def _in_sequence(calls: list[CallPrint], told: list[list[RequestId]], known: Candidates) -> bool:
    spans = [(known.requests[group[0]].start, max(known.requests[r].end for r in group)) for group in told]
    calls_are_apart = all(before.ended_at <= after.started_at for before, after in pairwise(calls))
    return calls_are_apart and all(before[1] <= after[0] for before, after in pairwise(spans))
