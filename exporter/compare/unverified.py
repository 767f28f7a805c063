"""What can be said of a call that no independent vendor reading speaks about: Dify's record against our own count.

Amounts are vendor − dify, and the vendor's side is unknown, so every finding here carries 0 and puts its numbers into
words.
"""

from __future__ import annotations

from collections.abc import Iterator

from exporter.compare.case import is_nothing, recorded
from exporter.compare.fit import fitting
from exporter.compare.hidden import unrecorded_code
from exporter.compare.lost import kept_by_rounds, why_nothing, why_rounds_are_missing
from exporter.compare.wording import finding, rule_words, split
from exporter.local.estimates import estimate_of
from exporter.model import (
    Accuracy,
    Attempt,
    Call,
    Confidence,
    DifyKind,
    DifyReading,
    Finding,
    LocalReading,
    Status,
    Sums,
    VendorReading,
)

_LEFT_OPEN = (Status.STOPPED, Status.UNFINISHED)


def remarks(
    call: Call,
    dify: DifyReading | None,
    local: LocalReading | None,
    vendor: VendorReading | None,
    sums: Sums | None = None,
) -> tuple[Finding, ...]:
    """Findings without amounts, in the order of what matters most."""
    attempts = vendor.attempts if vendor is not None and vendor.independent else ()
    found: list[Finding] = []
    if vendor is not None and vendor.independent:
        found.append(finding("vendor_usage_unknown", Confidence.CERTAIN))
    if unrecorded_code(call) is not None and is_nothing(dify):
        return tuple(found)
    if is_nothing(dify):
        found += _of_nothing(call, dify, attempts, sums)
    elif dify is not None:
        found += _of_number(call, dify, local)
    return tuple(found)


def _of_nothing(
    call: Call, dify: DifyReading | None, attempts: tuple[Attempt, ...], sums: Sums | None
) -> Iterator[Finding]:
    kept = kept_by_rounds(call)
    code, _ = why_nothing(call, attempts, sums)
    if kept is not None:
        why = why_rounds_are_missing(call)
        yield finding("rounds_not_in_message", Confidence.CERTAIN, seen=False, kept=split(*kept), why=why)
    elif call.status in _LEFT_OPEN or code == "stream_cut":
        yield finding(code, Confidence.LIKELY, seen=False)
    elif call.status is Status.OK and call.answer and dify is not None:
        yield finding(code, Confidence.POSSIBLE, seen=False)


def _of_number(call: Call, dify: DifyReading, local: LocalReading | None) -> Iterator[Finding]:
    shown = split(dify.tokens.input, dify.tokens.output)
    if dify.total and dify.tokens.total in (None, 0):
        yield finding("agent_total_only", Confidence.CERTAIN, seen=False, total=dify.total)
    if dify.kind is DifyKind.ESTIMATE:
        estimate = estimate_of(call)
        rule = rule_words(estimate.rule, estimate.vocabulary) if estimate else rule_words(None)
        yield finding("plugin_estimate", Confidence.LIKELY, seen=False, recorded=shown, rule=rule)
    if dify.kind is DifyKind.PRICE_WEIGHTED:
        yield finding("cache_price_weighted", Confidence.LIKELY, seen=False)
    if local is None or dify.kind not in (DifyKind.VENDOR_PASSED, DifyKind.UNKNOWN):
        return
    if _differs(dify, local):
        yield _local_differs(dify, local)
        fit = fitting(call, recorded(dify))
        if fit is not None:
            yield finding(
                "wrong_tokenizer", Confidence.POSSIBLE, seen=False, recorded=shown, counter=fit.counter
            )


def _differs(dify: DifyReading, local: LocalReading) -> bool:
    """Whether the recorded input lies outside what our count allows. A lower bound only speaks when it is not met."""
    counted, given = local.tokens.input, dify.tokens.input
    if counted is None or given is None or local.accuracy is Accuracy.NONE:
        return False
    allowed = counted * (local.error_pct or 0.0) / 100
    if local.accuracy is Accuracy.LOWER_BOUND:
        return given < counted - allowed
    return local.error_pct is not None and abs(given - counted) > allowed


def _local_differs(dify: DifyReading, local: LocalReading) -> Finding:
    stated = "" if local.error_pct is None else f", within {local.error_pct:g} %"
    return finding(
        "local_differs",
        Confidence.POSSIBLE,
        recorded=split(dify.tokens.input, dify.tokens.output),
        counted=split(local.tokens.input, local.tokens.output),
        tokenizer=local.tokenizer,
        accuracy=local.accuracy.value,
        error=stated,
    )
