"""Why the vendor counted differently from Dify: rules that each explain a named part of one call's difference.

Rules run in order, and each sees only the rest the earlier ones left, so that the findings and the unexplained rest add
up to vendor − dify. A rule speaks only when the numbers prove it or the record says it; it never takes a rest because
nothing else did.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exporter.compare.catalog import finding, split
from exporter.model import (
    Attempt,
    Call,
    Confidence,
    DifyKind,
    DifyReading,
    Finding,
    Status,
    Tokens,
    VendorReading,
)

Amount = tuple[int, int]
"""Input and output tokens, vendor − dify."""

CACHE_WRITE_FACTORS = (1.25, 2.0)
"""Price of a 5-minute and a 1-hour cache write relative to input, as Dify's anthropic plugin multiplies them."""

CACHE_READ_FACTOR = 0.1

_KEPT = re.compile(r"^rounds_not_in_message:(\d+)\+(\d+)$")
_NOTHING_BY_STATUS = {
    Status.STOPPED: "recorded_nothing_stopped",
    Status.ERROR: "recorded_nothing_failed",
    Status.UNFINISHED: "recorded_nothing_abandoned",
    Status.OK: "recorded_nothing_finished",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One call with both numbers known. A missing Dify record counts as 0: nothing was recorded."""

    call: Call
    dify: DifyReading | None
    vendor: VendorReading
    vendor_counts: Amount

    @property
    def recorded(self) -> Amount:
        """Dify's input and output."""
        return recorded(self.dify)

    @property
    def difference(self) -> Amount:
        """Vendor − dify."""
        return _minus(self.vendor_counts, self.recorded)


def case_of(call: Call, dify: DifyReading | None, vendor: VendorReading | None) -> Case | None:
    """The Case, or None when there is no independent vendor reading with both numbers."""
    if (
        vendor is None
        or not vendor.independent
        or vendor.tokens.input is None
        or vendor.tokens.output is None
    ):
        return None
    return Case(call, dify, vendor, (vendor.tokens.input, vendor.tokens.output))


def recorded(dify: DifyReading | None) -> Amount:
    """What Dify recorded, nothing as 0."""
    tokens = dify.tokens if dify else Tokens()
    return tokens.input or 0, tokens.output or 0


def is_nothing(dify: DifyReading | None) -> bool:
    """Whether Dify recorded no tokens at all, not even a total."""
    return recorded(dify) == (0, 0) and not (dify and dify.total)


def explain(case: Case) -> tuple[tuple[Finding, ...], Amount]:
    """The findings of a difference and the rest they leave (input, output)."""
    rest, found = case.difference, list[Finding]()
    for rule in _RULES:
        if rest == (0, 0):
            break
        explained = rule(case, rest)
        if explained is not None:
            found.append(explained)
            rest = _minus(rest, (explained.input, explained.output))
    return tuple(found), rest


def kept_by_rounds(call: Call) -> Amount | None:
    """What an agent round kept although its message says 0 (the call's note carries it)."""
    noted = _KEPT.match(call.note or "")
    return (int(noted[1]), int(noted[2])) if noted else None


def nothing_code(status: Status) -> str:
    """The code of a call of which Dify recorded nothing."""
    return _NOTHING_BY_STATUS[status]


def _gateway_cache(case: Case, rest: Amount) -> Finding | None:
    if not case.vendor.attempts or any(attempt.status != "cached" for attempt in case.vendor.attempts):
        return None
    return finding("gateway_cache_hit", Confidence.CERTAIN, rest, recorded=split(*case.recorded))


def _retries(case: Case, rest: Amount) -> Finding | None:
    """Billed attempts before the last whose numbers never reached Dify: broken ones, and whole answers thrown away
    where Dify's number is that of the last attempt alone."""
    thrown = _thrown_away(case)
    amount = _sum(thrown)
    if amount == (0, 0):
        return None
    return finding("retry_billed", Confidence.CERTAIN, amount, number=len(thrown), billed=split(*amount))


def _thrown_away(case: Case) -> list[Attempt]:
    billed = [attempt for attempt in case.vendor.attempts if attempt.tokens.total]
    broken = [attempt for attempt in billed[:-1] if attempt.status == "aborted"]
    whole = [attempt for attempt in billed if attempt.status != "aborted"]
    if len(whole) > 1 and case.recorded == _sum(whole[-1:]) != _sum(whole):
        return broken + whole[:-1]
    return broken


def _agent_total(case: Case, rest: Amount) -> Finding | None:
    """ReAct agent strategies report a total without its parts (measured on Dify 1.14.0 with cot_agent 0.0.37)."""
    total = case.dify.total if case.dify and case.recorded == (0, 0) else None
    if not total or sum(rest) != total:
        return None
    return finding("agent_total_only", Confidence.CERTAIN, rest, total=total)


def _rounds(case: Case, rest: Amount) -> Finding | None:
    kept = kept_by_rounds(case.call)
    if kept is None or not is_nothing(case.dify) or not _is_within(kept, rest):
        return None
    return finding("rounds_not_in_message", Confidence.CERTAIN, kept, kept=split(*kept))


def _nothing(case: Case, rest: Amount) -> Finding | None:
    if not is_nothing(case.dify) or not _is_within((0, 0), rest):
        return None
    return finding(nothing_code(case.call.status), Confidence.CERTAIN, rest, billed=split(*rest))


def _cache_weighted(case: Case, rest: Amount) -> Finding | None:
    """Dify's anthropic plugin stores `input + int(1.25 or 2 x writes) + int(0.1 x reads)` (plugin source, July 2025 on).
    Several attempts are weighted one by one, as the plugin does."""
    kept = _kept_attempts(case)
    reads, writes = _parts(kept)
    if not reads + writes:
        return None
    for factor in CACHE_WRITE_FACTORS:
        weighted = sum(_weighted(tokens, factor) for tokens in kept)
        if weighted == case.recorded[0]:
            amount = (_sum_tokens(kept)[0] - weighted, 0)
            return finding(
                "cache_price_weighted",
                Confidence.CERTAIN,
                amount,
                factor=factor,
                written=writes,
                read=reads,
                weighted=weighted,
                counted=_sum_tokens(kept)[0],
            )
    return None


def _cache_left_out(case: Case, rest: Amount) -> Finding | None:
    """Bedrock's and MiniMax's plugins store the vendor's input without its cached part."""
    kept = _kept_attempts(case)
    reads, writes = _parts(kept)
    if not reads + writes or _sum_tokens(kept)[0] - reads - writes != case.recorded[0]:
        return None
    return finding("cache_left_out", Confidence.CERTAIN, (reads + writes, 0), read=reads, written=writes)


def _estimate(case: Case, rest: Amount) -> Finding | None:
    if case.dify is None or case.dify.kind is not DifyKind.ESTIMATE:
        return None
    return finding(
        "plugin_estimate",
        Confidence.LIKELY,
        rest,
        recorded=split(*case.recorded),
        billed=split(*case.vendor_counts),
    )


_RULES: tuple[Callable[[Case, Amount], Finding | None], ...] = (
    _gateway_cache,
    _retries,
    _agent_total,
    _rounds,
    _nothing,
    _cache_weighted,
    _cache_left_out,
    _estimate,
)


def _kept_attempts(case: Case) -> list[Tokens]:
    """The counts that could have reached Dify's record; the reading itself where attempts are not known."""
    thrown = _thrown_away(case)
    kept = [
        attempt.tokens for attempt in case.vendor.attempts if attempt not in thrown and attempt.tokens.total
    ]
    return kept or [case.vendor.tokens]


def _weighted(tokens: Tokens, factor: float) -> int:
    read, written = tokens.cache_read or 0, tokens.cache_write or 0
    uncached = (tokens.input or 0) - read - written
    return uncached + int(factor * written) + int(CACHE_READ_FACTOR * read)


def _parts(counts: Sequence[Tokens]) -> Amount:
    return sum(tokens.cache_read or 0 for tokens in counts), sum(tokens.cache_write or 0 for tokens in counts)


def _sum(attempts: Sequence[Attempt]) -> Amount:
    return _sum_tokens([attempt.tokens for attempt in attempts])


def _sum_tokens(counts: Sequence[Tokens]) -> Amount:
    return sum(tokens.input or 0 for tokens in counts), sum(tokens.output or 0 for tokens in counts)


def _minus(left: Amount, right: Amount) -> Amount:
    return left[0] - right[0], left[1] - right[1]


def _is_within(small: Amount, large: Amount) -> bool:
    return small[0] <= large[0] and small[1] <= large[1]
