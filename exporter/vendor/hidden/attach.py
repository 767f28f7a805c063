"""Which trace each hidden request belongs to: Dify records none of them, so only words, who asked and when can tell.

Unique evidence or nothing: a request that several traces could have caused goes to their app when they share it, else
to the instance. The result does not depend on the order of either input. Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from exporter.model import SECOND
from exporter.vendor.hidden import conversations, retrievals
from exporter.vendor.hidden.known import Attached, Known, Told
from exporter.vendor.hidden.traces import TracePrint
from exporter.vendor.matching.candidates import RequestId
from exporter.vendor.record import VendorCall

__all__ = ["Attached", "attach"]

_SEARCHES = (
    conversations.titles,
    conversations.later_titles,
    conversations.suggestions_soon,
    conversations.suggestions_later,
    retrievals.by_query,
    retrievals.by_query_nearby,
    retrievals.by_who_and_when,
    retrievals.by_time,
)
"""In this order; each sees only what the earlier ones left."""

_OF_RETRIEVAL = frozenset({"knowledge_router", "metadata_filter"})


def attach(
    traces: Sequence[TracePrint], requests: Sequence[VendorCall], skew_seconds: float = 2.0
) -> dict[RequestId, Attached]:
    """Every request that has a purpose, by (source, id). `skew_seconds` is the clock difference allowed.

    Give all traces and requests of the stretch of time in question: what stands beside a pair is part of its proof.
    """
    mine = [request for request in requests if request.purpose is not None]
    ordered = sorted(mine, key=lambda request: (request.start, request.end, request.source, request.id))
    known = Known(
        {trace.trace_id: trace for trace in sorted(traces, key=lambda trace: trace.trace_id)},
        {(request.source, request.id): request for request in ordered},
        round(skew_seconds * SECOND),
    )
    found: dict[RequestId, Attached] = {}
    for search in _SEARCHES:
        found.update(_attached(known, search(known, found)))
    return {identity: found.get(identity) or _apart(request) for identity, request in known.requests.items()}


def _attached(known: Known, told: Told) -> Iterator[tuple[RequestId, Attached]]:
    """What a search found; possible traces that could not be told apart still tell the app when all are of one."""
    for identity, traces in told.claims.items():
        purpose = str(known.requests[identity].purpose)
        if identity in told.settled:
            trace = known.traces[told.settled[identity]]
            call_id = _recorded_call(trace, known.requests[identity])
            yield (
                identity,
                Attached(trace.trace_id, trace.app_id, purpose, told.method, told.confidence, call_id),
            )
        elif len(apps := {trace.app_id for trace in traces}) == 1:
            yield identity, Attached(None, min(apps), purpose, told.method, told.confidence)


def _recorded_call(trace: TracePrint, request: VendorCall) -> str | None:
    """The one call that Dify recorded for the model of this very retrieval."""
    if request.purpose not in _OF_RETRIEVAL:
        return None
    calls = [call_id for call_id, query in trace.recorded if query in request.about]
    return calls[0] if len(calls) == 1 else None


def _apart(request: VendorCall) -> Attached:
    """Recognised, and nothing says for which trace."""
    is_by_words = request.operation not in ("embeddings", "rerank")
    method, confidence = ("words", 0.9) if is_by_words else ("operation", 0.5)
    return Attached(None, request.dify_app_id, str(request.purpose), method, confidence)
