"""Why the vendor counted differently from Dify: rules that each explain a named part of one call's difference.

Rules run in order, and each sees only the rest the earlier ones left, so that the findings and the unexplained rest add
up to vendor − dify. A rule speaks only when the numbers prove it or the record says it; it never takes a rest because
nothing else did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from exporter.compare import cache
from exporter.compare.case import (
    NOTHING,
    Amount,
    Case,
    is_gateway_count,
    is_nothing,
    is_within,
    minus,
    sum_of,
    thrown_away,
)
from exporter.compare.fit import fitting
from exporter.compare.hidden import unrecorded
from exporter.compare.informing import inform
from exporter.compare.lost import answered_rounds, kept_by_rounds, why_nothing, why_rounds_are_missing
from exporter.compare.wording import finding, rule_words, split
from exporter.local.estimates import estimate_of
from exporter.model import Accuracy, Confidence, DifyKind, Finding, Status

Rule = Callable[[Case, Amount], Finding | None]


def explain(case: Case) -> tuple[tuple[Finding, ...], Amount]:
    """The findings of a call, first those that explain a part of the difference, then those that only inform (amount
    0), and the rest they leave (input, output)."""
    rest, found = case.difference, list[Finding]()
    for rule in _RULES:
        if rest == NOTHING:
            break
        explained = rule(case, rest)
        if explained is not None:
            found.append(explained)
            rest = minus(rest, (explained.input, explained.output))
    return (*_as_sure_as_the_count(case, found), *inform(case, found)), rest


def _as_sure_as_the_count(case: Case, found: list[Finding]) -> list[Finding]:
    """An amount that rests on a gateway's own count is not certain."""
    if not is_gateway_count(case):
        return found
    return [
        replace(item, confidence=Confidence.LIKELY) if item.confidence is Confidence.CERTAIN else item
        for item in found
    ]


def _unrecorded(case: Case, rest: Amount) -> Finding | None:
    return unrecorded(case.call, rest) if is_nothing(case.dify) else None


def _gateway_cache(case: Case, rest: Amount) -> Finding | None:
    if not case.vendor.attempts or any(attempt.status != "cached" for attempt in case.vendor.attempts):
        return None
    return finding("gateway_cache_hit", Confidence.CERTAIN, rest, recorded=split(*case.recorded))


def _retries(case: Case, rest: Amount) -> Finding | None:
    thrown = thrown_away(case)
    amount = sum_of(thrown)
    if amount == NOTHING:
        return None
    return finding("retry_billed", Confidence.CERTAIN, amount, number=len(thrown), billed=split(*amount))


def _agent_total(case: Case, rest: Amount) -> Finding | None:
    """ReAct agent strategies report a total without its parts (measured on Dify 1.14.0 with cot_agent 0.0.37)."""
    total = case.dify.total if case.dify and case.recorded == NOTHING else None
    if not total or sum(rest) != total:
        return None
    return finding("agent_total_only", Confidence.CERTAIN, rest, total=total)


def _rounds(case: Case, rest: Amount) -> Finding | None:
    kept = kept_by_rounds(case.call)
    if kept is None or not is_nothing(case.dify) or not is_within(kept, rest):
        return None
    why = why_rounds_are_missing(case.call)
    return finding("rounds_not_in_message", Confidence.CERTAIN, kept, kept=split(*kept), why=why)


def _nothing(case: Case, rest: Amount) -> Finding | None:
    if not is_nothing(case.dify) or not is_within(NOTHING, rest):
        return None
    attempts = case.vendor.attempts
    code, confidence = why_nothing(case.call, attempts, case.sums)
    return finding(code, confidence, rest, billed=split(*rest), rounds=answered_rounds(attempts))


def _estimate(case: Case, rest: Amount) -> Finding | None:
    """The kind says that Dify's number is an estimate; a rule that gives both numbers makes it certain."""
    if case.dify is None or case.dify.kind is not DifyKind.ESTIMATE:
        return None
    estimate = estimate_of(case.call)
    return finding(
        "plugin_estimate",
        Confidence.CERTAIN if estimate else Confidence.LIKELY,
        rest,
        recorded=split(*case.recorded),
        billed=split(*case.vendor_counts),
        rule=rule_words(estimate.rule, estimate.vocabulary) if estimate else rule_words(None),
    )


def _first_chunk(case: Case, rest: Amount) -> Finding | None:
    """A workflow's LLM node takes the first usage of a stream whose prompt tokens are not 0 (Dify 1.4.0 on), which is
    hardly the answer's where usage comes with every chunk."""
    local, call = case.local, case.call
    is_answered_node = call.node_execution_id is not None and call.status is Status.OK and call.answer
    if not is_answered_node or is_nothing(case.dify) or local is None or local.accuracy is Accuracy.NONE:
        return None
    recorded, counted, billed = case.recorded[1], local.tokens.output, case.vendor_counts[1]
    if rest[0] or counted is None or not recorded * 2 < counted <= billed * 2:
        return None
    return finding(
        "usage_of_first_chunk",
        Confidence.LIKELY,
        (0, rest[1]),
        recorded=recorded,
        counted=counted,
        billed=billed,
    )


def _wrong_tokenizer(case: Case, rest: Amount) -> Finding | None:
    if is_nothing(case.dify) or thrown_away(case):
        return None
    fit = fitting(case.call, case.recorded, (not rest[0], not rest[1]))
    if fit is None:
        return None
    return finding(
        "wrong_tokenizer",
        Confidence.LIKELY if fit.both else Confidence.POSSIBLE,
        rest,
        recorded=split(*case.recorded),
        billed=split(*case.vendor_counts),
        counter=fit.counter,
    )


def _gateway_estimate(case: Case, rest: Amount) -> Finding | None:
    """Where the gateway says that it counted by itself, what its count differs from Dify's number is its own error, as
    far as Dify's number is the vendor's."""
    if not is_gateway_count(case) or case.dify is None or is_nothing(case.dify):
        return None
    is_vendors = case.dify.kind is DifyKind.VENDOR_PASSED
    return finding("gateway_estimate", Confidence.LIKELY if is_vendors else Confidence.POSSIBLE, rest)


_RULES: tuple[Rule, ...] = (
    _unrecorded,
    _gateway_cache,
    _retries,
    _agent_total,
    _rounds,
    _nothing,
    cache.price_weighted,
    cache.left_out,
    _estimate,
    _first_chunk,
    _wrong_tokenizer,
    _gateway_estimate,
)
