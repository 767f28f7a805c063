"""One request per call, by what both say: rule by rule, the strongest first, and only what leaves no other choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from exporter.model import Micros
from exporter.vendor.matching.assign import certain, components, largest
from exporter.vendor.matching.candidates import CallId, Candidates, RequestId
from exporter.vendor.matching.crowd import numbers
from exporter.vendor.matching.rivals import belongs_elsewhere
from exporter.vendor.matching.rules import RULES
from exporter.vendor.matching.timing import is_inside


def by_content(
    known: Candidates, owned: dict[RequestId, CallId], proof: dict[CallId, tuple[str, float]]
) -> None:
    """Add to `owned` and `proof` (method and confidence) what is settled. A weaker rule only sees what the stronger ones
    left. Tool-call ids are unique, so a call owns every request that answered with one of its own."""
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
    if len(calls) == 1:
        requests = [r for r in requests if is_inside(known.calls[calls[0]], known.requests[r])] or requests
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
