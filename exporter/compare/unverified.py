"""What can be said of a call that no independent vendor reading speaks about: Dify's record against our own count.

Amounts are vendor − dify, and the vendor's side is unknown, so every finding here carries 0 and puts its numbers into
words.
"""

from __future__ import annotations

from collections.abc import Iterator

from exporter.compare.catalog import finding, split
from exporter.compare.findings import is_nothing, kept_by_rounds, nothing_code
from exporter.model import (
    Accuracy,
    Call,
    Confidence,
    DifyKind,
    DifyReading,
    Finding,
    LocalReading,
    Status,
    VendorReading,
)

_LEFT_OPEN = (Status.STOPPED, Status.UNFINISHED)


def remarks(
    call: Call, dify: DifyReading | None, local: LocalReading | None, vendor: VendorReading | None
) -> tuple[Finding, ...]:
    """Findings without amounts, in the order of what matters most."""
    return tuple(_remarks(call, dify, local, vendor))


def _remarks(
    call: Call, dify: DifyReading | None, local: LocalReading | None, vendor: VendorReading | None
) -> Iterator[Finding]:
    if vendor is not None and vendor.independent:
        yield finding("vendor_usage_unknown", Confidence.CERTAIN)
    kept = kept_by_rounds(call)
    if kept is not None:
        yield finding("rounds_not_in_message", Confidence.CERTAIN, seen=False, kept=split(*kept))
    elif is_nothing(dify) and call.status in _LEFT_OPEN:
        yield finding(nothing_code(call.status), Confidence.LIKELY, seen=False)
    elif is_nothing(dify) and call.status is Status.OK and call.answer and dify is not None:
        yield finding(nothing_code(call.status), Confidence.POSSIBLE, seen=False)
    if dify is not None and not is_nothing(dify):
        yield from _of_kind(dify)
        if (
            local is not None
            and dify.kind in (DifyKind.VENDOR_PASSED, DifyKind.UNKNOWN)
            and _differs(dify, local)
        ):
            yield _local_differs(dify, local)


def _of_kind(dify: DifyReading) -> Iterator[Finding]:
    if dify.total and dify.tokens.total in (None, 0):
        yield finding("agent_total_only", Confidence.CERTAIN, seen=False, total=dify.total)
    if dify.kind is DifyKind.ESTIMATE:
        shown = split(dify.tokens.input, dify.tokens.output)
        yield finding("plugin_estimate", Confidence.LIKELY, seen=False, recorded=shown)
    if dify.kind is DifyKind.PRICE_WEIGHTED:
        yield finding("cache_price_weighted", Confidence.LIKELY, seen=False)


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
