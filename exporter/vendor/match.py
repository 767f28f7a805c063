"""Which vendor requests belong to which Dify call.

Precision first: a request is given to a call only when the evidence leaves no other choice, or when every choice gives
the same numbers. The result does not depend on the order of either input. A call may own several requests (attempts):
what failed before it succeeded, and the rounds of an agent node. Requests that Dify makes on its own (titles, suggested
questions, embeddings, rerank) stay unmatched. Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from exporter.model import Micros
from exporter.vendor.assign import certain, components, largest
from exporter.vendor.attempts import further_attempts, same_client_request
from exporter.vendor.candidates import CallId, Candidates, RequestId, candidates
from exporter.vendor.crowd import in_order_of_time, numbers
from exporter.vendor.evidence import asks, is_asking
from exporter.vendor.fingerprint import CallPrint
from exporter.vendor.leftovers import leftovers
from exporter.vendor.lost import SEARCHES
from exporter.vendor.parts import PADDING, Part, padding, parts
from exporter.vendor.record import VendorCall
from exporter.vendor.rivals import belongs_elsewhere, without_strangers
from exporter.vendor.rules import RULES

__all__ = ["PADDING", "Match", "match", "padding"]


@dataclass(frozen=True, slots=True)
class Match:
    """The requests of one call in the order they began; what the pairing stands on, and how sure it is (0 to 1)."""

    attempts: tuple[VendorCall, ...]
    method: str
    confidence: float


def match(
    calls: Sequence[CallPrint], evidence: Sequence[VendorCall], skew_seconds: float = 2.0
) -> dict[CallId, Match]:
    """The matched calls, by call id. `skew_seconds` is the clock difference allowed between Dify and the evidence.

    Give all calls and all requests of the stretch of time in question, also those matched before: what stands beside
    a pair is part of its proof.
    """
    skew = round(skew_seconds * 1_000_000)
    by_call = {call.call_id: call for call in calls if asks(call)}
    by_request = {(request.source, request.id): request for request in evidence if is_asking(request)}
    found: dict[CallId, Match] = {}
    for part in parts(by_call.values(), by_request.values(), skew):
        found |= _solve(part, skew)
    in_order = sorted(found, key=lambda call_id: (by_call[call_id].started_at, call_id))
    return {call_id: found[call_id] for call_id in in_order}


def _solve(part: Part, skew: Micros) -> dict[CallId, Match]:
    if part.is_crowd:
        return {
            call.call_id: Match((request,), RULES[rule].method, RULES[rule].confidence)
            for call, request, rule in in_order_of_time(part, skew)
        }
    known = candidates(part, skew)
    without_strangers(known)
    owned: dict[RequestId, CallId] = {}
    proof: dict[CallId, tuple[str, float]] = {}
    _by_content(known, owned, proof)
    same_client_request(known, owned)
    further_attempts(known, owned)
    for search in SEARCHES:
        for call_id, requests in search.find(known, owned).items():
            proof[call_id] = (search.method, search.confidence)
            owned.update(dict.fromkeys(requests, call_id))
    further_attempts(known, owned)
    for call_id, rest in leftovers(known, owned).items():
        owned.update(dict.fromkeys(rest.requests, call_id))
        if rest.method is not None:
            proof[call_id] = (rest.method, rest.confidence)
    return _matches(known, owned, proof)


def _by_content(
    known: Candidates, owned: dict[RequestId, CallId], proof: dict[CallId, tuple[str, float]]
) -> None:
    """One request per call, rule by rule: a weaker rule only sees what the stronger ones left. Tool-call ids are
    unique, so a call owns every request that answered with one of its own."""
    _by_tool_id(known, owned, proof)
    for place in sorted(set(known.pairs.values())):
        pairs = [
            (call_id, request_id)
            for (call_id, request_id), rule in known.pairs.items()
            if rule <= place and call_id not in proof and request_id not in owned
        ]
        for part in components(pairs):
            for call_id, request_id in _settled(part, known).items():
                rule = RULES[known.pairs[call_id, request_id]]
                proof[call_id] = (rule.method, rule.confidence)
                owned[request_id] = call_id


def _by_tool_id(
    known: Candidates, owned: dict[RequestId, CallId], proof: dict[CallId, tuple[str, float]]
) -> None:
    askers: dict[RequestId, list[CallId]] = {}
    for (call_id, request_id), rule in known.pairs.items():
        if RULES[rule].method == "tool_call_id":
            askers.setdefault(request_id, []).append(call_id)
    for request_id, calls in askers.items():
        if len(calls) == 1:
            owned[request_id] = calls[0]
            proof[calls[0]] = ("tool_call_id", RULES[known.pairs[calls[0], request_id]].confidence)


def _settled(part: Mapping[CallId, list[RequestId]], known: Candidates) -> dict[CallId, RequestId]:
    """The pairs of a connected part that are beyond doubt, then those where the doubt changes nothing."""
    if len(part) == 1:
        ((call, mine),) = part.items()
        if len(mine) == 1:
            return {call: mine[0]}
    able: dict[RequestId, list[CallId]] = {}
    for call, mine in part.items():
        for request in mine:
            able.setdefault(request, []).append(call)
    sure = {
        call: request
        for call, request in certain(part).items()
        if not belongs_elsewhere(call, request, able[request], known)
    }
    taken = set(sure.values())
    rest = [
        (call, request)
        for call, mine in part.items()
        if call not in sure
        for request in mine
        if request not in taken
    ]
    for smaller in components(rest):
        sure |= _same_anyway(smaller, known)
    return sure


def _same_anyway(part: Mapping[CallId, list[RequestId]], known: Candidates) -> dict[CallId, RequestId]:
    """An assignment by time where all calls find a request and either all requests have the same numbers, or calls and
    requests came one after the other in equal number, so that only one order makes sense."""
    calls = sorted(part, key=lambda identity: (known.calls[identity].started_at, identity))
    requests = sorted({r for mine in part.values() for r in mine}, key=lambda r: (known.requests[r].start, r))
    if len(largest(part)) < len(calls):
        return {}
    in_order = dict(zip(calls, requests[-len(calls) :], strict=True))
    is_possible = all(request in part[call] for call, request in in_order.items())
    if len({numbers(known.requests[request]) for request in requests}) == 1:
        return in_order if is_possible else largest({call: sorted(part[call]) for call in calls})
    is_sequence = len(calls) == len(requests) and _one_after_the_other(calls, requests, known)
    return in_order if is_possible and is_sequence else {}


def _one_after_the_other(calls: Sequence[CallId], requests: Sequence[RequestId], known: Candidates) -> bool:
    call_times = [(known.calls[identity].started_at, known.calls[identity].ended_at) for identity in calls]
    request_times = [(known.requests[identity].start, known.requests[identity].end) for identity in requests]
    return _are_apart(call_times) and _are_apart(request_times)


def _are_apart(times: Sequence[tuple[Micros, Micros]]) -> bool:
    return all(before[1] <= after[0] for before, after in pairwise(times))


def _matches(
    known: Candidates, owned: Mapping[RequestId, CallId], proof: Mapping[CallId, tuple[str, float]]
) -> dict[CallId, Match]:
    requests: dict[CallId, list[VendorCall]] = {}
    for request_id, call_id in owned.items():
        requests.setdefault(call_id, []).append(known.requests[request_id])
    return {call: Match(_in_order(requests[call]), *proof[call]) for call in known.calls if call in proof}


def _in_order(requests: Iterable[VendorCall]) -> tuple[VendorCall, ...]:
    return tuple(
        sorted(requests, key=lambda request: (request.start, request.end, request.source, request.id))
    )
