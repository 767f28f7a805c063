"""The verdict of a call and of a trace.

A call with an independent vendor reading agrees to the token, is explained, or keeps an unexplained rest. Without one it
is unverified, or pending while evidence may still come. A trace is as good as its worst call.
"""

from __future__ import annotations

from collections.abc import Sequence

from exporter.compare.case import case_of
from exporter.compare.findings import explain
from exporter.compare.money import price_remarks, priced
from exporter.compare.sums import compare_sums
from exporter.compare.unverified import remarks
from exporter.model import (
    AssessedTrace,
    Assessment,
    Call,
    DifyReading,
    LocalReading,
    Sums,
    Trace,
    VendorReading,
    Verdict,
)
from exporter.prices.costs import Costs

_WORST_LAST = (Verdict.AGREE, Verdict.EXPLAINED, Verdict.UNVERIFIED, Verdict.PENDING, Verdict.UNEXPLAINED)


def assess(
    call: Call,
    dify: DifyReading | None,
    local: LocalReading | None,
    vendor: VendorReading | None,
    *,
    tolerance_percent: float,
    evidence_expected: bool,
    sums: Sums | None = None,
    costs: Costs | None = None,
) -> Assessment:
    """The Assessment of a call. `tolerance_percent` is the share of the vendor's total up to which an unexplained rest
    is within tolerance; `evidence_expected` says that vendor evidence may still come. `sums` are those of the call's
    trace, which tell a stopped run from one whose process died; `costs` is what the price book says of the call."""
    case = case_of(call, dify, local, vendor, sums)
    if case is None:
        waiting = evidence_expected and not (vendor is not None and vendor.independent)
        verdict = Verdict.PENDING if waiting else Verdict.UNVERIFIED
        said = (*remarks(call, dify, local, vendor, sums), *price_remarks(call, dify, costs))
        return Assessment(call, dify, local, vendor, verdict, said)
    found, rest = explain(case)
    return Assessment(
        call=call,
        dify=dify,
        local=local,
        vendor=vendor,
        verdict=_verdict(case.difference, rest),
        findings=priced(case, found, costs),
        unexplained_input=rest[0],
        unexplained_output=rest[1],
        within_tolerance=abs(rest[0]) + abs(rest[1]) <= sum(case.vendor_counts) * tolerance_percent / 100,
    )


def compare_trace(trace: Trace, assessments: Sequence[Assessment]) -> AssessedTrace:
    """The trace with its verdict and what its own sums show. A run with tokens of which no call is known proves nothing."""
    is_total_only = not assessments and bool(trace.sums.run_total)
    verdict = Verdict.UNVERIFIED if is_total_only else trace_verdict(assessments)
    return AssessedTrace(trace, tuple(assessments), verdict, compare_sums(trace))


def trace_verdict(assessments: Sequence[Assessment]) -> Verdict:
    """The worst verdict of the calls; a trace without model calls has nothing to disagree about."""
    return max((item.verdict for item in assessments), key=_WORST_LAST.index, default=Verdict.AGREE)


def _verdict(difference: tuple[int, int], rest: tuple[int, int]) -> Verdict:
    if difference == (0, 0):
        return Verdict.AGREE
    return Verdict.EXPLAINED if rest == (0, 0) else Verdict.UNEXPLAINED
