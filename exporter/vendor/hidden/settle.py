"""Which of several possible traces each request belongs to, where that can be told or makes no difference.

A request with one possible trace belongs to it. Where several traces asked the same at the same time, requests are only
given out when as many requests as traces are there and either the numbers are the same whoever gets which, or both came
one after the other. Knows times and numbers, no words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from exporter.model import Micros
from exporter.vendor.hidden.traces import TracePrint
from exporter.vendor.matching.assign import certain, components, largest
from exporter.vendor.matching.candidates import RequestId
from exporter.vendor.record import VendorCall

Claims = Mapping[RequestId, Sequence[TracePrint]]
"""The possible traces of each request."""

Requests = Mapping[RequestId, VendorCall]
_Part = Mapping[str, list[RequestId]]


def settle(claims: Claims, requests: Requests) -> dict[RequestId, str]:
    """Request → trace id, where a trace may own any number of requests."""
    settled = {request: traces[0].trace_id for request, traces in claims.items() if len(traces) == 1}
    rest = {request: traces for request, traces in claims.items() if len(traces) > 1}
    for part in components(_pairs(rest)):
        settled |= _in_order(part, rest, requests)
    return settled


def settle_one_each(claims: Claims, requests: Requests) -> dict[RequestId, str]:
    """Request → trace id, where a trace owns one request that succeeded (and any number that failed)."""
    billed = {request: traces for request, traces in claims.items() if requests[request].status != "error"}
    failed = {request: traces for request, traces in claims.items() if request not in billed}
    settled = {request: traces[0].trace_id for request, traces in failed.items() if len(traces) == 1}
    for part in components(_pairs(billed)):
        sure = certain(part)
        settled |= {request: trace for trace, request in sure.items()}
        open_pairs = [
            (trace, request)
            for trace, mine in part.items()
            if trace not in sure
            for request in mine
            if request not in settled
        ]
        for smaller in components(open_pairs):
            settled |= _in_order(smaller, billed, requests, may_leave=True)
    return settled


def _pairs(claims: Claims) -> list[tuple[str, RequestId]]:
    return [(trace.trace_id, request) for request, traces in claims.items() for trace in traces]


def _in_order(
    part: _Part, claims: Claims, requests: Requests, may_leave: bool = False
) -> dict[RequestId, str]:
    """The requests of a part in the order of its traces. `may_leave`: more requests than traces are no obstacle when
    all have the same numbers; the first ones are taken."""
    begun = {trace.trace_id: trace for mine in part.values() for r in mine for trace in claims[r]}
    traces = sorted(part, key=lambda identity: (begun[identity].started_at, identity))
    asked = sorted(
        {request for mine in part.values() for request in mine},
        key=lambda identity: (requests[identity].start, identity),
    )
    if len(asked) < len(traces) or (len(asked) > len(traces) and not may_leave):
        return {}
    are_alike = len({_numbers(requests[request]) for request in asked}) == 1
    in_order = dict(zip(asked, traces, strict=False))
    if all(request in part[trace] for request, trace in in_order.items()):
        is_sequence = len(asked) == len(traces) and _one_after_the_other(traces, asked, begun, requests)
        return in_order if are_alike or is_sequence else {}
    if not are_alike or len(chosen := largest(part)) < len(traces):
        return {}
    return {request: trace for trace, request in chosen.items()}


def _one_after_the_other(
    traces: Sequence[str], asked: Sequence[RequestId], begun: Mapping[str, TracePrint], requests: Requests
) -> bool:
    of_traces = [(begun[identity].started_at, begun[identity].ended_at) for identity in traces]
    of_requests = [(requests[identity].start, requests[identity].end) for identity in asked]
    return _are_apart(of_traces) and _are_apart(of_requests)


def _are_apart(times: Sequence[tuple[Micros, Micros]]) -> bool:
    return all(before[1] <= after[0] for before, after in pairwise(times))


def _numbers(request: VendorCall) -> object:
    return (request.model, request.tokens, request.cost, request.status, request.is_cache_hit)
