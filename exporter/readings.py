"""The three readings of many traces, and their comparison. Pure: evidence comes in, nothing is stored here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from exporter.compare.verdict import assess, compare_trace
from exporter.config import CompareSettings
from exporter.local.estimates import classify_recorded
from exporter.local.providers import relays
from exporter.local.reading import read_local
from exporter.model import AssessedTrace, Assessment, Call, Trace
from exporter.vendor.fingerprint import CallPrint, fingerprint_call
from exporter.vendor.match import Match, match
from exporter.vendor.reading import relayed, vendor_reading
from exporter.vendor.record import VendorCall

EvidenceKey = tuple[str, str]
"""(source, id) of a vendor request."""


@dataclass(frozen=True, slots=True)
class Read:
    """A trace with its readings; `fingerprints` per call id; `matched` says which vendor requests belong to which call."""

    assessed: AssessedTrace
    fingerprints: Mapping[str, bytes]
    matched: Mapping[str, tuple[EvidenceKey, ...]]


def read(
    traces: Sequence[Trace],
    evidence: Sequence[VendorCall],
    neighbours: Sequence[CallPrint],
    settings: CompareSettings,
    pending: Set[str] = frozenset(),
) -> list[Read]:
    """Readings and verdicts of these traces; `pending` holds the ids of those whose evidence may still come.

    Vendor requests are assigned over all traces and their neighbours (the other calls of that time) together, so that no
    call takes another one's request.
    """
    prints = {
        call.call_id: fingerprint_call(call, trace.app.id, trace.user_aliases)
        for trace in traces
        for call in trace.calls
    }
    matches = match([*prints.values(), *neighbours], evidence, settings.match_skew) if evidence else {}
    return [_read_trace(trace, prints, matches, settings, trace.trace_id in pending) for trace in traces]


def _read_trace(
    trace: Trace,
    prints: Mapping[str, CallPrint],
    matches: Mapping[str, Match],
    settings: CompareSettings,
    evidence_expected: bool,
) -> Read:
    assessments = [
        _read_call(call, matches.get(call.call_id), settings, evidence_expected) for call in trace.calls
    ]
    return Read(
        compare_trace(trace, assessments),
        {call.call_id: prints[call.call_id].to_json() for call in trace.calls},
        {
            call.call_id: tuple((item.source, item.id) for item in matches[call.call_id].attempts)
            for call in trace.calls
            if call.call_id in matches
        },
    )


def _read_call(
    call: Call, found: Match | None, settings: CompareSettings, evidence_expected: bool
) -> Assessment:
    dify = classify_recorded(call)
    vendor = vendor_reading(found) if found is not None else None
    if vendor is None and relays(call.provider, call.model):
        vendor = relayed(dify)
    return assess(
        call,
        dify,
        read_local(call),
        vendor,
        tolerance_percent=settings.tolerance_percent,
        evidence_expected=evidence_expected,
    )
