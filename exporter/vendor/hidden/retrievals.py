"""Embeddings, reranks and the models that help a retrieval: requests about the words that a trace searched for."""

from __future__ import annotations

from collections.abc import Callable

from exporter.model import SECOND
from exporter.vendor.hidden.known import Decided, Known, Told, possible, rounding, undisputed, users_of
from exporter.vendor.hidden.settle import settle, settle_one_each
from exporter.vendor.hidden.stretches import Window, stretches
from exporter.vendor.hidden.traces import TracePrint
from exporter.vendor.matching.candidates import RequestId
from exporter.vendor.record import VendorCall

SLOW_START = 30 * SECOND
"""A trace without an end (abandoned, killed) may have searched this long after it began."""

_BY_QUERY = ("embedding", "rerank", "knowledge_router", "metadata_filter")
_BY_SURROUNDINGS = ("embedding", "rerank", "tool_summary")


def by_query(known: Known, decided: Decided) -> Told:
    """The words that were searched for, while the trace that searched for them was going on by both clocks."""
    claims = _searched(
        known, decided, lambda trace: (trace.started_at - rounding(trace), trace.ended_at + rounding(trace))
    )
    inside = {identity: traces for identity, traces in claims.items() if traces}
    return Told(inside, settle(inside, known.requests), "words+time", 0.95)


def by_query_nearby(known: Known, decided: Decided) -> Told:
    """The same where clocks differ, or a trace has no end. Dify remembers what it embedded for ten minutes, so a trace
    that has its request already is not given an earlier or later one."""
    served = {
        (attached.trace_id, _asking(known.requests[identity]))
        for identity, attached in decided.items()
        if attached.trace_id is not None
    }
    claims = {
        identity: [t for t in traces if (t.trace_id, _asking(known.requests[identity])) not in served]
        for identity, traces in _searched(
            known,
            decided,
            lambda trace: (
                known.opens(trace),
                max(known.closes(trace), trace.started_at + SLOW_START + known.skew),
            ),
        ).items()
    }
    return Told(claims, settle_one_each(claims, known.requests), "words+time", 0.9)


def by_who_and_when(known: Known, decided: Decided) -> Told:
    """Without words: who asked, or which app, and when."""
    return _surroundings(known, decided, "user or app+time", 0.6, is_named=True)


def by_time(known: Known, decided: Decided) -> Told:
    """Without words, user and app: the one trace that was going on at all."""
    return _surroundings(known, decided, "time", 0.5, is_named=False)


def _surroundings(known: Known, decided: Decided, method: str, confidence: float, *, is_named: bool) -> Told:
    index = stretches(
        known.traces.values(), lambda _: [()], lambda trace: (known.opens(trace), known.closes(trace))
    )
    claims = {
        identity: possible(index, request, ())
        for identity, request in known.undecided(decided, *_BY_SURROUNDINGS).items()
        if not request.about and bool(request.dify_app_id or users_of(request)) is is_named
    }
    if is_named:
        claims = {i: [t for t in traces if _may_ask(t, known.requests[i])] for i, traces in claims.items()}
        return Told(claims, undisputed(claims), method, confidence)
    lonely = {
        i: t for i, t in claims.items() if len(t) == 1 and t[0].retrieves and _searches(known.requests[i])
    }
    return Told(lonely, undisputed(lonely), method, confidence)


def _may_ask(trace: TracePrint, request: VendorCall) -> bool:
    return trace.retrieves or not _searches(request)


def _searches(request: VendorCall) -> bool:
    return request.operation in ("embeddings", "rerank")


def _searched(
    known: Known, decided: Decided, window: Callable[[TracePrint], Window]
) -> dict[RequestId, list[TracePrint]]:
    """The traces that searched for these words. A request for several texts indexes documents and has none."""
    index = stretches(known.traces.values(), lambda trace: [(query,) for query in trace.queries], window)
    claims: dict[RequestId, list[TracePrint]] = {}
    for identity, request in known.undecided(decided, *_BY_QUERY).items():
        if request.purpose == "metadata_filter" or len(request.about) == 1:
            told = {t.trace_id: t for word in request.about for t in possible(index, request, (word,))}
            claims[identity] = list(told.values())
    return claims


def _asking(request: VendorCall) -> tuple[object, ...]:
    return (request.purpose, request.model, request.about)
