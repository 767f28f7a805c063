"""Which vendor requests belong to which Dify call.

Precision first: a request is given to a call only when the evidence leaves no other choice, or when every choice gives
the same numbers. The result does not depend on the order of either input. A call may own several requests (attempts):
what failed before it succeeded, and the rounds of an agent node. Requests that Dify makes on its own (titles, suggested
questions, embeddings, rerank) stay unmatched. Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from exporter.model import Micros
from exporter.vendor.fingerprint import CallPrint
from exporter.vendor.matching.attempts import further_attempts, same_client_request
from exporter.vendor.matching.candidates import CallId, Candidates, RequestId, candidates
from exporter.vendor.matching.crowd import in_order_of_time
from exporter.vendor.matching.evidence import asks, is_asking
from exporter.vendor.matching.leftovers import leftovers
from exporter.vendor.matching.lost import SEARCHES
from exporter.vendor.matching.pairing import by_content
from exporter.vendor.matching.parts import PADDING, Part, padding, parts
from exporter.vendor.matching.rivals import without_neighbours, without_strangers
from exporter.vendor.matching.rules import RULES
from exporter.vendor.record import VendorCall

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
    a pair is part of its proof. A longer stretch may be matched slice by slice with `padding` around each slice.
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
    without_neighbours(known)
    owned: dict[RequestId, CallId] = {}
    proof: dict[CallId, tuple[str, float]] = {}
    by_content(known, owned, proof)
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
