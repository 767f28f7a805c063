"""Findings without an amount: said where the evidence or the record says so, and silent otherwise."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from exporter.model import (
    Accuracy,
    Attempt,
    Call,
    Confidence,
    DifyKind,
    DifyReading,
    Finding,
    LocalReading,
    Money,
    Status,
    Tokens,
    Verdict,
)
from tests.compare.judged_calls import attempt, call, codes, dify, judged, local, node, vendor


def said(
    about: Call,
    recorded: DifyReading | None,
    *attempts: Attempt,
    own: LocalReading | None = None,
    **seen: Any,
) -> list[Finding]:
    """The findings of a call that agrees with its vendor."""
    found = judged(about, recorded, vendor(*attempts, **seen), own)
    assert found.verdict is Verdict.AGREE
    assert all((item.input, item.output) == (0, 0) for item in found.findings)
    return list(found.findings)


# ── with vendor evidence ────────────────────────────────────────────────────────────────────────────────────


def test_cached_tokens_that_dify_prices_in_full_are_named_with_their_number() -> None:
    [found] = said(call(), dify(1921, 25), attempt(1921, 25, "ok", 1792, 0))
    assert (found.code, found.confidence) == ("cached_at_full_price", Confidence.CERTAIN)
    assert "1792 of the 1921 input tokens" in found.evidence
    assert said(call(), dify(1921, 25), attempt(1921, 25, "ok", 0, 0)) == []


def test_cached_tokens_of_a_price_weighted_number_are_not_named_again() -> None:
    found = judged(call(), dify(308, 61, DifyKind.PRICE_WEIGHTED), vendor(attempt(2234, 61, "ok", 2139, 0)))
    assert [item.code for item in found.findings] == ["cache_price_weighted"]


def test_reasoning_that_no_text_holds_is_named_with_its_number() -> None:
    [found] = said(call(), dify(16, 456), attempt(16, 456, reasoning=384))
    assert found.code == "reasoning_invisible"
    assert "384 of the 456 output tokens" in found.evidence


@pytest.mark.parametrize("kept", [{"reasoning": "First, …"}, {"answer": "<think>First, …</think>Blue."}])
def test_reasoning_that_dify_kept_is_not_invisible(kept: dict[str, str]) -> None:
    assert said(call(**kept), dify(22, 89), attempt(22, 89, reasoning=40)) == []


@pytest.mark.parametrize(
    ("held", "missing", "words"),
    [
        ({"tools": 2}, (), "2 tool definition(s)"),
        ({"has_schema": True}, ("the output schema",), "an output schema"),
        ({"media": 1}, (), "1 picture(s) or file(s)"),
        ({"added_messages": 1}, ("the output schema",), "the prompt that Dify adds for structured output"),
        ({"tools": 2, "media": 1}, (), "2 tool definition(s) and 1 picture(s) or file(s)"),
    ],
)
def test_parts_of_the_request_that_no_recount_sees_are_named_with_the_gap(
    held: dict[str, Any], missing: tuple[str, ...], words: str
) -> None:
    about = call(missing=missing)
    [found] = said(about, dify(178, 14), attempt(178, 14, **held), own=local(96, Accuracy.LOWER_BOUND))
    assert found.code == "not_in_recount"
    assert words in found.evidence
    assert "82 input tokens" in found.evidence


@pytest.mark.parametrize(
    ("held", "own"),
    [
        ({"tools": 2}, local(178)),  # the recount is not lower
        ({"tools": 2}, local(None)),  # there is none
        ({"tools": 2}, local(96, Accuracy.NONE)),
        ({"tools": 0, "media": 0, "has_schema": False}, local(96)),  # the request held nothing else
        ({}, local(96)),  # its body was not logged
    ],
)
def test_a_recount_is_not_excused_without_proof(held: dict[str, Any], own: LocalReading) -> None:
    assert said(call(), dify(178, 14), attempt(178, 14, **held), own=own) == []


def test_messages_that_only_the_vendor_received_were_added_on_the_way() -> None:
    [found] = said(call(), dify(178, 14), attempt(178, 14, added_messages=1))
    assert (found.code, found.confidence) == ("request_changed", Confidence.LIKELY)


@pytest.mark.parametrize(
    ("provider", "asked", "served", "is_other"),
    [
        ("openai", "gpt-4o", "gpt-4o-mini-2024-07-18", True),
        (
            "bedrock",
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            "us.anthropic.claude-3-haiku-20240307-v1:0",
            True,
        ),
        ("openai_api_compatible", "claude-sonnet-4-5", "gpt-4o", True),
        ("openai", "gpt-4o", "gpt-4o-2024-08-06", False),
        ("openai", "gpt-3.5-turbo", "gpt-3.5-turbo-0125", False),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929", False),
        ("openrouter", "deepseek/deepseek-chat:free", "deepseek-chat", False),
        ("tongyi", "qwen-plus-latest", "qwen-plus-2025-07-28", False),
        ("openai_api_compatible", "prod-gpt-4o", "gpt-4o-2024-11-20", False),  # a name of the operator's own
        ("openai_api_compatible", "fast", "gpt-4o-mini", False),  # an alias that names no model
        ("azure_openai", "gpt-4o", "gpt-4o-mini-2024-07-18", False),  # a deployment may have any name
        ("openai", "gpt-4o", None, False),
    ],
)
def test_another_model_is_told_from_a_snapshot_and_from_an_alias(
    provider: str, asked: str, served: str | None, is_other: bool
) -> None:
    found = said(call(provider=provider, model=asked), dify(12, 7), attempt(12, 7, model=served))
    assert [item.code for item in found] == (["model_substituted"] if is_other else [])


def test_a_gateway_s_own_count_that_equals_dify_s_is_still_named() -> None:
    [found] = said(call(), dify(12, 7), attempt(12, 7, is_estimated=True))
    assert found.code == "gateway_estimate"


def test_a_request_that_two_sources_logged_is_counted_once_and_told() -> None:
    [found] = said(call(), dify(12, 7), attempt(12, 7, copies=("litellm", "kong")))
    assert found.code == "duplicate_record"
    assert "kong and litellm" in found.evidence


@pytest.mark.parametrize(
    ("billed", "recorded", "differs"),
    [("USD", "RMB", True), ("CNY", "RMB", False), ("USD", "usd", False)],
)
def test_costs_in_two_currencies_are_not_to_be_subtracted(billed: str, recorded: str, differs: bool) -> None:
    mine = dify(12, 7, cost=Money(Decimal("0.01"), recorded))
    found = said(call(), mine, attempt(12, 7), cost=Money(Decimal("0.02"), billed))
    assert [item.code for item in found] == (["currency_differs"] if differs else [])


# ── without an independent vendor reading ───────────────────────────────────────────────────────────────────


def test_without_vendor_evidence_a_call_is_unverified_or_pending() -> None:
    assert judged(call(), dify(12, 7), None).verdict is Verdict.UNVERIFIED
    assert judged(call(), dify(12, 7), None, evidence_expected=True).verdict is Verdict.PENDING


def test_a_relayed_reading_proves_nothing() -> None:
    relayed = vendor(tokens=Tokens(12, 7), independent=False)
    found = judged(call(), dify(12, 7), relayed)
    assert (found.verdict, found.unexplained_input) == (Verdict.UNVERIFIED, None)


def test_a_request_that_nobody_counted_is_said_so_and_waited_for_no_longer() -> None:
    found = judged(call(), dify(12, 7), vendor(attempt(0, 0), tokens=Tokens()), evidence_expected=True)
    assert (found.verdict, codes(found)) == (Verdict.UNVERIFIED, [("vendor_usage_unknown", 0, 0)])


def test_a_broken_stream_that_nobody_counted_is_named_as_well() -> None:
    cut = Attempt("r", "gw", "aborted", 0, 1, Tokens())
    found = judged(call(status=Status.ERROR), None, vendor(cut, tokens=Tokens()))
    assert [item.code for item in found.findings] == ["vendor_usage_unknown", "stream_cut"]


@pytest.mark.parametrize(
    ("recorded", "own", "differs"),
    [
        (dify(20, 7), local(12, Accuracy.EXACT, 0.0), True),
        (dify(12, 7), local(12, Accuracy.EXACT, 0.0), False),
        (dify(105, 7), local(100, Accuracy.NEAR, 5.0), False),
        (dify(106, 7), local(100, Accuracy.NEAR, 5.0), True),
        (dify(106, 7), local(100, Accuracy.APPROXIMATE, None), False),
        (dify(200, 7), local(100, Accuracy.LOWER_BOUND, None), False),
        (dify(99, 7), local(100, Accuracy.LOWER_BOUND, None), True),
        (dify(20, 7), local(None, Accuracy.EXACT, 0.0), False),
        (dify(20, 7), local(12, Accuracy.NONE, None), False),
    ],
)
def test_our_own_count_speaks_only_outside_its_stated_error(
    recorded: DifyReading, own: LocalReading, differs: bool
) -> None:
    found = judged(call(), recorded, None, own)
    assert [item.code for item in found.findings] == (["local_differs"] if differs else [])
    assert all((item.input, item.output) == (0, 0) for item in found.findings)


@pytest.mark.parametrize(
    ("about", "recorded", "expected"),
    [
        (call(), dify(8, 34, DifyKind.ESTIMATE), ["plugin_estimate"]),
        (call(), dify(308, 61, DifyKind.PRICE_WEIGHTED), ["cache_price_weighted"]),
        (call(), dify(None, None, DifyKind.UNKNOWN, total=766), ["agent_total_only"]),
        (call(status=Status.STOPPED), dify(0, 0, DifyKind.ZERO), ["recorded_nothing_stopped"]),
        (call(status=Status.UNFINISHED), None, ["client_hung_up"]),
        (node(status=Status.UNFINISHED), None, ["recorded_nothing_abandoned"]),
        (call(status=Status.ERROR), None, []),
        (call(), dify(0, 0, DifyKind.ZERO), ["recorded_nothing_finished"]),
        (call(note="rounds_not_in_message:183+14"), dify(0, 0, DifyKind.ZERO), ["rounds_not_in_message"]),
    ],
)
def test_what_dify_s_record_shows_by_itself_is_said_without_an_amount(
    about: Call, recorded: DifyReading | None, expected: list[str]
) -> None:
    found = judged(about, recorded, None)
    assert codes(found) == [(code, 0, 0) for code in expected]
    assert all("{" not in item.evidence and item.evidence for item in found.findings)
