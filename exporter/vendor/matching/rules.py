"""Which comparisons prove that a request is a call's own: rules from strongest to weakest.

Each rule names the evidence it stands on, so that the reading can say why it was matched. Two different answers, or two
different conversations, are never explained away: such a pair only stands on stronger evidence or not at all. Follows
the order of proof: tool-call ids, response text, prompt, user, token counts, time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from exporter.model import Status
from exporter.vendor.fingerprint import CallPrint
from exporter.vendor.matching.evidence import Likeness, Pair, compare
from exporter.vendor.record import VendorCall


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of proof: its name in the reading, how sure it is, and when it holds."""

    method: str
    confidence: float
    holds: Callable[[Pair], bool]


def _is_user(pair: Pair) -> bool:
    return pair.user is not Likeness.DIFFERENT


def _fits(pair: Pair) -> bool:
    return pair.model is not Likeness.DIFFERENT and _is_user(pair)


def _ends_alike(pair: Pair) -> bool:
    """The vendor wrote what Dify kept, as far as both tell."""
    return pair.answer is Likeness.UNKNOWN or (pair.answer is Likeness.PART and pair.is_open)


def _counts_alike_unseen(pair: Pair) -> bool:
    """Model and both numbers, where no text could be compared."""
    return (
        pair.has_tokens
        and pair.answer is Likeness.UNKNOWN
        and pair.prompt is Likeness.UNKNOWN
        and pair.model is Likeness.EQUAL
    )


RULES: tuple[Rule, ...] = (
    Rule("tool_call_id", 0.999, lambda p: p.shares_tool_id),
    Rule(
        "response_text+prompt",
        0.99,
        lambda p: p.answer is Likeness.EQUAL and p.prompt is Likeness.EQUAL and _is_user(p),
    ),
    Rule(
        "response_text+query",
        0.97,
        lambda p: p.answer is Likeness.EQUAL and p.prompt is Likeness.PART and _is_user(p),
    ),
    Rule(
        "response_beginning+prompt",
        0.97,
        lambda p: p.answer is Likeness.PART and p.prompt is Likeness.EQUAL and p.is_open and _fits(p),
    ),
    Rule(
        "prompt+tokens",
        0.95,
        lambda p: (
            p.prompt is Likeness.EQUAL and p.has_tokens and p.answer is not Likeness.DIFFERENT and _fits(p)
        ),
    ),
    Rule(
        "tool_call+query",
        0.95,
        lambda p: p.shares_tools and p.prompt >= Likeness.PART and _fits(p),
    ),
    Rule(
        "response_beginning+query",
        0.9,
        lambda p: p.answer is Likeness.PART and p.prompt is Likeness.PART and p.is_open and _fits(p),
    ),
    Rule(
        "query+tokens",
        0.9,
        lambda p: (
            p.prompt is Likeness.PART and p.has_tokens and p.answer is not Likeness.DIFFERENT and _fits(p)
        ),
    ),
    Rule(
        "response_text+tokens",
        0.9,
        lambda p: p.answer is Likeness.EQUAL and p.prompt is Likeness.UNKNOWN and p.has_tokens and _fits(p),
    ),
    Rule(
        "response_text",
        0.85,
        lambda p: (
            p.answer is Likeness.EQUAL
            and p.is_long
            and (p.prompt is Likeness.UNKNOWN or p.has_tokens)
            and _fits(p)
        ),
    ),
    Rule(
        "response_text+prompt",  # the gateway names users by names of its own
        0.85,
        lambda p: p.answer is Likeness.EQUAL and p.is_long and p.prompt is Likeness.EQUAL,
    ),
    Rule(
        "prompt",
        0.85,
        lambda p: p.prompt is Likeness.EQUAL and _ends_alike(p) and _fits(p),
    ),
    Rule("tokens+user", 0.8, lambda p: _counts_alike_unseen(p) and p.user is Likeness.EQUAL),
    Rule("tokens+app", 0.75, lambda p: _counts_alike_unseen(p) and _is_user(p) and p.is_same_app),
    Rule(
        "response_beginning",
        0.75,
        lambda p: (
            p.answer is Likeness.PART
            and p.is_open
            and p.user is Likeness.EQUAL
            and p.prompt is Likeness.UNKNOWN
            and _fits(p)
        ),
    ),
    Rule("tokens+time", 0.7, lambda p: _counts_alike_unseen(p) and _is_user(p)),
)
"""Strongest first; a pair is judged by the first rule that holds."""


def judge(call: CallPrint, request: VendorCall) -> int | None:
    """The place in `RULES` of the strongest rule for this pair, or None when nothing speaks for it.

    Time is not looked at here. A failed request answered no call but one that failed.
    """
    if request.status == "error" and call.status is not Status.ERROR:
        return None
    pair = compare(call, request)
    return next((place for place, rule in enumerate(RULES) if rule.holds(pair)), None)
