"""The three readings of many traces, in tokens and in money, and their comparison. Pure: evidence comes in, nothing is stored
here; prices are those of the book in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from exporter import durations
from exporter.compare.verdict import assess, compare_trace
from exporter.config import CompareSettings
from exporter.local.estimates import classify_recorded
from exporter.local.providers import relays
from exporter.local.reading import read_local
from exporter.model import AssessedTrace, Assessment, Call, Status, Sums, Trace
from exporter.prices import in_force
from exporter.prices.costs import Charge, costs, with_cost
from exporter.vendor.fingerprint import fingerprint_call
from exporter.vendor.hidden import steps
from exporter.vendor.hidden.attach import Attached
from exporter.vendor.hidden.traces import TracePrint, fingerprint_trace
from exporter.vendor.matching.match import Match
from exporter.vendor.reading import Owned, better_local, charged, relayed, vendor_reading
from exporter.vendor.record import VendorCall

_ENDED = {"ok": Status.OK, "error": Status.ERROR, "aborted": Status.STOPPED}
_KINDS = {"embeddings": "embedding", "rerank": "rerank", "completion": "completion"}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of some traces from vendors: the requests of each call, and the hidden requests of each trace."""

    of_calls: Mapping[str, Owned]
    of_traces: Mapping[str, Sequence[tuple[VendorCall, Attached]]]


@dataclass(frozen=True, slots=True)
class Read:
    """A trace with its readings, and the fingerprints that matching will know it by (its own, and per call id)."""

    assessed: AssessedTrace
    fingerprint: TracePrint
    fingerprints: Mapping[str, bytes]


def read(
    traces: Sequence[Trace],
    evidence: Evidence,
    settings: CompareSettings,
    pending: Set[str] = frozenset(),
) -> list[Read]:
    """Readings and verdicts of these traces; `pending` holds the ids of those whose evidence may still come."""
    return [_read_trace(trace, evidence, settings, trace.trace_id in pending) for trace in traces]


def read_lone(
    request: VendorCall,
    purpose: str | None,
    method: str | None,
    confidence: float | None,
    settings: CompareSettings,
) -> Assessment:
    """The assessment of a request of Dify's that belongs to no trace: the vendor's number stands alone. Without a
    purpose it is a call whose row is missing."""
    found = Match((request,), method or "user", confidence if confidence is not None else 0.5)
    return _assess(_lone_call(request, purpose), Owned(found), settings)


def _lone_call(request: VendorCall, purpose: str | None) -> Call:
    """A hidden request as a call, or one of Dify's users or apps of which Dify has no row (left)."""
    return Call(
        call_id=steps.call_id(request),
        kind=f"hidden:{purpose}" if purpose else _KINDS.get(request.operation, "chat"),
        provider=request.provider,
        model=request.model,
        started_at=request.start,
        ended_at=request.end,
        status=_ENDED.get(request.status, Status.ERROR),
        recorded=None,
        note=None if purpose else "row_missing",
    )


def _read_trace(trace: Trace, evidence: Evidence, settings: CompareSettings, evidence_expected: bool) -> Read:
    hidden = evidence.of_traces.get(trace.trace_id, ())
    owned = dict(evidence.of_calls)
    for request, attached in hidden:
        found = Match((request,), attached.method, attached.confidence)
        owned[steps.call_id(request)] = Owned(found)
    whole = steps.with_hidden(trace, hidden) if hidden else trace
    assessments = [
        _assess(
            call,
            owned.get(call.call_id),
            settings,
            evidence_expected=evidence_expected,
            sums=whole.sums,
        )
        for call in whole.calls
    ]
    return Read(
        compare_trace(whole, assessments),
        fingerprint_trace(trace),
        {
            call.call_id: fingerprint_call(call, trace.app.id, trace.user_aliases).to_json()
            for call in trace.calls
        },
    )


def _assess(
    call: Call,
    owned: Owned | None,
    settings: CompareSettings,
    *,
    evidence_expected: bool = False,
    sums: Sums | None = None,
) -> Assessment:
    dify, book = classify_recorded(call), in_force()
    with durations.timed(durations.TOKENIZER):
        local = read_local(call)
    vendor, charges = None, tuple[Charge, ...]()
    if owned is not None:
        prompt = call.prompt or ()
        charges = charged(owned, book, call)
        vendor = vendor_reading(owned, len(prompt) or None, charges)
        local = better_local(local, owned.match.attempts, sum(len(message.text) for message in prompt))
    if vendor is None and relays(call.provider, call.model):
        vendor = relayed(dify)
    requests = owned.match.attempts if owned is not None else ()
    return assess(
        call,
        dify,
        with_cost(book, local, call),
        vendor,
        tolerance_percent=settings.tolerance_percent,
        evidence_expected=evidence_expected,
        sums=sums,
        costs=costs(book, call, requests, charges),
    )
