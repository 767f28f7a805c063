"""What is worth knowing of a call although it moves no token: findings with amount 0, after those that explain.

They speak of money, of the request's other parts and of the evidence itself, and never change the verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from exporter.compare import cache
from exporter.compare.case import Case, is_gateway_count, last_billed
from exporter.compare.currencies import one_name
from exporter.compare.wording import finding, listed
from exporter.local.families import family
from exporter.model import Accuracy, Attempt, Confidence, Finding

STRUCTURED = "the output schema"
"""What `Call.missing` says of a call with structured output: Dify adds a system prompt of its own after it kept the prompt."""

_VERSION = re.compile(
    r"(?:[-@](?:\d{4}-?\d{2}-?\d{2}|\d{2}-\d{2}|\d{3,4}|latest|preview|v\d+)|:(?:free|latest|\d+)|[-@]v\d+:\d+)$"
)
_HOST = re.compile(
    r"^(?:(?:us|eu|apac|ap|global)\.)?(?:anthropic|meta|amazon|mistral|cohere|deepseek|openai|qwen)\."
)
_FREE_NAMES = frozenset({"azure_openai"})
"""Plugins whose model name is a deployment's, so that a served name proves nothing."""


def inform(case: Case, found: Sequence[Finding]) -> tuple[Finding, ...]:
    """The informing findings of a call; `found` are those that explain its difference."""
    return tuple(_inform(case, {item.code for item in found}))


def _inform(case: Case, told: set[str]) -> Iterator[Finding]:
    if is_gateway_count(case) and "gateway_estimate" not in told:
        yield finding("gateway_estimate", Confidence.CERTAIN)
    copies = sorted({name for attempt in case.vendor.attempts for name in attempt.copies})
    if copies:
        yield finding("duplicate_record", Confidence.CERTAIN, sources=listed(copies))
    for remark in (
        _request_changed,
        _model_substituted,
        cache.at_full_price,
        _reasoning,
        _not_in_recount,
        _currency,
    ):
        said = remark(case)
        if said is not None:
            yield said


def _request_changed(case: Case) -> Finding | None:
    added = max((attempt.added_messages or 0 for attempt in case.vendor.attempts), default=0)
    if not added or STRUCTURED in case.call.missing:
        return None
    return finding("request_changed", Confidence.LIKELY, added=added)


def _model_substituted(case: Case) -> Finding | None:
    attempt, asked = last_billed(case), case.call.model
    if attempt is None or not attempt.model or not asked or case.call.provider in _FREE_NAMES:
        return None
    is_known = "unknown" not in (family(asked).name, family(attempt.model).name)
    if not is_known or _plain(asked).endswith(_plain(attempt.model)):
        return None
    return finding("model_substituted", Confidence.CERTAIN, asked=asked, served=attempt.model)


def _plain(name: str) -> str:
    """A model's name without route, host, snapshot and version. One that ends with the other is an alias of it
    (`prod-gpt-4o`)."""
    name = _HOST.sub("", name.lower().rpartition("/")[2])
    while (shorter := _VERSION.sub("", name)) != name:
        name = shorter
    return name


def _reasoning(case: Case) -> Finding | None:
    reasoning, call = case.vendor.tokens.reasoning, case.call
    if not reasoning or call.reasoning or "<think>" in (call.answer or ""):
        return None
    return finding(
        "reasoning_invisible", Confidence.CERTAIN, reasoning=reasoning, written=case.vendor_counts[1]
    )


def _not_in_recount(case: Case) -> Finding | None:
    """Only of a call that was billed once: the recount is of one request."""
    attempt, local = last_billed(case), case.local
    billed_once = sum(1 for item in case.vendor.attempts if item.tokens.total) == 1
    if attempt is None or not billed_once or local is None or local.accuracy is Accuracy.NONE:
        return None
    if local.is_of_request:
        return None
    if local.tokens.input is None or attempt.tokens.input is None:
        return None
    gap, parts = attempt.tokens.input - local.tokens.input, list(_uncounted(case, attempt))
    if gap <= 0 or not parts:
        return None
    return finding("not_in_recount", Confidence.LIKELY, parts=listed(parts), gap=gap)


def _uncounted(case: Case, attempt: Attempt) -> Iterator[str]:
    if attempt.tools:
        yield f"{attempt.tools} tool definition(s)"
    if attempt.has_schema:
        yield "an output schema"
    if attempt.added_messages and STRUCTURED in case.call.missing:
        yield "the prompt that Dify adds for structured output"
    if attempt.media:
        yield f"{attempt.media} picture(s) or file(s)"


def _currency(case: Case) -> Finding | None:
    billed, recorded = case.vendor.cost, case.dify.cost if case.dify else None
    if billed is None or recorded is None or not billed.amount or not recorded.amount:
        return None
    if one_name(billed.currency) == one_name(recorded.currency):
        return None
    return finding("currency_differs", Confidence.CERTAIN, billed=billed.currency, recorded=recorded.currency)
