"""Each cause is found by the numbers that prove it, and findings plus rest are always vendor − dify."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.compare.catalog import FINDINGS, Level
from exporter.local.estimates import classify_recorded
from exporter.model import (
    Accuracy,
    Attempt,
    Call,
    Confidence,
    DifyKind,
    DifyReading,
    LocalReading,
    Money,
    Status,
    Sums,
    Tokens,
    Verdict,
)
from tests.compare.judged_calls import (
    attempt,
    call,
    codes,
    dify,
    judged,
    local,
    node,
    only,
    saying,
    texts,
    vendor,
)


def test_equal_to_the_token_agrees_and_finds_nothing() -> None:
    found = judged(call(), dify(12, 7), vendor(attempt(12, 7)))
    assert (found.verdict, found.findings) == (Verdict.AGREE, ())
    assert (found.unexplained_input, found.unexplained_output, found.within_tolerance) == (0, 0, True)


# ── Dify recorded nothing ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("about", "code", "confidence"),
    [
        (call(status=Status.STOPPED), "recorded_nothing_stopped", Confidence.CERTAIN),
        (call(status=Status.ERROR), "recorded_nothing_failed", Confidence.CERTAIN),
        (call(status=Status.UNFINISHED), "client_hung_up", Confidence.LIKELY),
        (node(status=Status.UNFINISHED), "recorded_nothing_abandoned", Confidence.CERTAIN),
        (call(status=Status.OK), "recorded_nothing_finished", Confidence.CERTAIN),
    ],
)
@pytest.mark.parametrize("recorded", [None, dify(0, 0, DifyKind.ZERO)], ids=["no record", "zeros"])
def test_a_call_of_which_dify_recorded_nothing_is_explained_by_how_it_ended(
    about: Call, code: str, confidence: Confidence, recorded: DifyReading | None
) -> None:
    found = judged(about, recorded, vendor(attempt(39, 73)))
    assert (found.verdict, codes(found)) == (Verdict.EXPLAINED, [(code, 39, 73)])
    assert only(found).confidence is confidence
    assert "39 + 73 tokens" in only(found).evidence


@pytest.mark.parametrize(
    ("leaves", "message", "code"),
    [
        (Tokens(712, 37), Tokens(712, 37), "recorded_nothing_stopped"),  # a stop saves the message
        (Tokens(716, 38), Tokens(0, 0), "process_died"),
        (Tokens(), Tokens(0, 0), "recorded_nothing_abandoned"),  # nothing was there to be saved
        (Tokens(25, 21), None, "recorded_nothing_abandoned"),  # a workflow has no message
    ],
)
def test_the_message_around_an_open_run_tells_a_stop_from_a_death(
    leaves: Tokens, message: Tokens | None, code: str
) -> None:
    sums = Sums(leaves, message=message, run_total=0)
    found = judged(node(status=Status.UNFINISHED), None, vendor(attempt(131, 56)), sums=sums)
    assert codes(found) == [(code, 131, 56)]


def test_a_broken_request_of_an_open_run_means_that_its_process_died() -> None:
    """After a stop the plugin reads on to the end of the stream."""
    found = judged(node(status=Status.UNFINISHED), None, vendor(attempt(131, 56, "aborted")))
    assert codes(found) == [("process_died", 131, 56)]


@pytest.mark.parametrize("status", [Status.ERROR, Status.OK])
def test_a_broken_stream_is_the_cause_where_the_vendor_s_log_shows_it(status: Status) -> None:
    found = judged(call(status=status), dify(0, 0, DifyKind.ZERO), vendor(attempt(37, 28, "aborted")))
    assert codes(found) == [("stream_cut", 37, 28)]


def test_a_failed_call_that_the_vendor_refused_agrees() -> None:
    free = attempt(0, 0, "error")
    assert judged(call(status=Status.ERROR), None, vendor(free, free)).verdict is Verdict.AGREE


def test_four_billed_tries_of_a_failed_node_are_three_retries_and_one_lost_call() -> None:
    tries = [attempt(21, 31, "aborted")] * 4
    found = judged(node(status=Status.ERROR), None, vendor(*tries))
    assert codes(found) == [("retry_billed", 63, 93), ("stream_cut", 21, 31)]
    assert found.verdict is Verdict.EXPLAINED


def test_the_answered_rounds_of_a_failed_agent_node_are_lost() -> None:
    about = node(status=Status.ERROR, missing=("the prompts of an agent's rounds",))
    found = judged(about, None, vendor(attempt(183, 14), attempt(0, 0, "error"), attempt(0, 0, "error")))
    assert codes(found) == [("agent_rounds_lost", 183, 14)]
    assert "1 round(s)" in only(found).evidence


@pytest.mark.parametrize("status", [Status.OK, Status.UNFINISHED])
def test_what_an_agent_round_kept_explains_a_message_that_says_nothing(status: Status) -> None:
    kept = call(note="rounds_not_in_message:183+14", status=status)
    found = judged(kept, dify(0, 0, DifyKind.ZERO), vendor(attempt(183, 14)))
    assert codes(found) == [("rounds_not_in_message", 183, 14)]
    assert ("hung up" in only(found).evidence) is (status is Status.UNFINISHED)


# ── Dify's number is no vendor number ───────────────────────────────────────────────────────────────────────


def test_a_plugin_s_own_estimate_explains_its_whole_difference() -> None:
    found = judged(call(), dify(8, 34, DifyKind.ESTIMATE), vendor(attempt(61, 33)))
    assert codes(found) == [("plugin_estimate", 53, -1)]
    assert only(found).confidence is Confidence.LIKELY
    assert "no known rule" in only(found).evidence


@pytest.mark.parametrize(
    ("about", "recorded", "words"),
    [
        # SDK: a GPT-2 count gives up at 100,000 characters and returns their number
        (
            call(provider="openai_api_compatible", model="local", **texts("a " * 60_000, answer="yes")),
            (120_000, 1),
            "characters taken as tokens",
        ),
        # SDK: tokens of the model's name + 5 per character (141 = 6 + 5 x 27 for "step-1-8k")
        (
            call(
                provider="stepfun",
                model="step-1-8k",
                **texts("What is the capital city of?", "x", answer="Twenty-seven characters her"),
            ),
            (6 + 5 * 28, 141),
            "5 per character",
        ),
    ],
)
def test_an_estimate_names_the_rule_that_gives_its_numbers(
    about: Call, recorded: tuple[int, int], words: str
) -> None:
    about = saying(about, *recorded)
    found = judged(about, classify_recorded(about), vendor(attempt(2_000, 50)))
    assert codes(found) == [("plugin_estimate", 2_000 - recorded[0], 50 - recorded[1])]
    assert only(found).confidence is Confidence.CERTAIN
    assert words in only(found).evidence
    unseen = judged(about, classify_recorded(about), None)
    assert words in only(unseen).evidence


@pytest.mark.parametrize(
    ("recorded", "counts"),
    [
        (2694, (2160, 0, 2139)),  # recorded: 21 + int(1.25 × 2139), a 5-minute write
        (308, (2234, 2139, 0)),  # recorded: 95 + int(0.1 × 2139), a read
        (21 + 2 * 2139, (2160, 0, 2139)),  # a 1-hour write
    ],
)
def test_a_price_weighted_input_is_proved_by_the_vendor_s_cache_parts(
    recorded: int, counts: tuple[int, int, int]
) -> None:
    given, read, wrote = counts
    found = judged(
        call(), dify(recorded, 60, DifyKind.PRICE_WEIGHTED), vendor(attempt(given, 60, "ok", read, wrote))
    )
    assert codes(found) == [("cache_price_weighted", given - recorded, 0)]
    assert (found.verdict, only(found).confidence) == (Verdict.EXPLAINED, Confidence.CERTAIN)


def test_a_price_weighted_input_that_does_not_compute_stays_unexplained() -> None:
    found = judged(call(), dify(2695, 60, DifyKind.PRICE_WEIGHTED), vendor(attempt(2160, 60, "ok", 0, 2139)))
    assert (found.verdict, found.findings, found.unexplained_input) == (Verdict.UNEXPLAINED, (), -535)


def test_an_input_without_its_cached_part_is_found() -> None:
    found = judged(call(), dify(95, 60), vendor(attempt(2234, 60, "ok", 2139, 0)))
    assert codes(found) == [("cache_left_out", 2139, 0)]


def test_an_agent_that_reports_only_a_total_is_compared_by_it() -> None:
    only_total = dify(None, None, DifyKind.UNKNOWN, total=766)
    found = judged(call(), only_total, vendor(attempt(325, 29), attempt(383, 29)))
    assert (found.verdict, codes(found)) == (Verdict.EXPLAINED, [("agent_total_only", 708, 58)])
    other = judged(call(), only_total, vendor(attempt(325, 29), attempt(383, 30)))
    assert (other.verdict, other.findings) == (Verdict.UNEXPLAINED, ())


def test_the_usage_of_an_early_chunk_is_told_by_the_answer_that_was_kept() -> None:
    own = LocalReading(Tokens(50, 120), "o200k_base", Accuracy.EXACT, 0.0)
    found = judged(node(), dify(50, 1), vendor(attempt(50, 121)), own)
    assert (codes(found), only(found).confidence) == (
        [("usage_of_first_chunk", 0, 120)],
        Confidence.LIKELY,
    )
    assert judged(call(), dify(50, 1), vendor(attempt(50, 121)), own).findings == ()  # no workflow node
    assert judged(node(), dify(50, 90), vendor(attempt(50, 121)), own).findings == ()  # not an early one
    assert judged(node(), dify(49, 1), vendor(attempt(50, 121)), own).findings == ()  # the input differs too


# ── more or less was billed than this call shows ────────────────────────────────────────────────────────────


def test_an_answer_that_was_thrown_away_is_a_billed_retry() -> None:
    found = judged(call(), dify(20, 9), vendor(attempt(20, 4), attempt(20, 9)))
    assert codes(found) == [("retry_billed", 20, 4)]


def test_an_attempt_that_failed_and_was_billed_all_the_same_is_a_billed_retry() -> None:
    found = judged(call(), dify(20, 9), vendor(attempt(20, 4, "error"), attempt(20, 9)))
    assert codes(found) == [("retry_billed", 20, 4)]


def test_the_rounds_of_an_agent_node_are_no_retries() -> None:
    found = judged(call(), dify(60, 13), vendor(attempt(20, 4), attempt(40, 9)))
    assert (found.verdict, found.findings) == (Verdict.AGREE, ())


def test_an_answer_from_a_gateway_s_cache_was_not_billed() -> None:
    found = judged(call(), dify(12, 7), vendor(attempt(0, 0, "cached")))
    assert codes(found) == [("gateway_cache_hit", -12, -7)]


@pytest.mark.parametrize(
    ("kind", "confidence"),
    [(DifyKind.VENDOR_PASSED, Confidence.LIKELY), (DifyKind.UNKNOWN, Confidence.POSSIBLE)],
)
def test_what_a_gateway_counted_by_itself_may_be_off(kind: DifyKind, confidence: Confidence) -> None:
    found = judged(call(), dify(100, 7, kind), vendor(attempt(103, 8, is_estimated=True)))
    assert codes(found) == [("gateway_estimate", 3, 1)]
    assert (found.verdict, only(found).confidence) == (Verdict.EXPLAINED, confidence)


def test_an_amount_that_a_gateway_counted_by_itself_is_not_certain() -> None:
    found = judged(call(status=Status.STOPPED), None, vendor(attempt(39, 73, is_estimated=True)))
    assert codes(found) == [("recorded_nothing_stopped", 39, 73), ("gateway_estimate", 0, 0)]
    assert found.findings[0].confidence is Confidence.LIKELY


def test_a_difference_without_a_cause_stays_unexplained_with_its_size() -> None:
    found = judged(call(), dify(100, 7), vendor(attempt(103, 7)))
    assert (found.verdict, found.findings) == (Verdict.UNEXPLAINED, ())
    assert (found.unexplained_input, found.unexplained_output, found.within_tolerance) == (3, 0, True)
    strict = judged(call(), dify(100, 7), vendor(attempt(103, 7)), tolerance_percent=2.0)
    assert strict.within_tolerance is False


def test_opposite_rests_do_not_hide_each_other() -> None:
    found = judged(call(), dify(50, 50), vendor(attempt(60, 40)))
    assert found.within_tolerance is False


# ── always ──────────────────────────────────────────────────────────────────────────────────────────────────

numbers = st.integers(0, 400)
maybe = st.none() | st.integers(0, 100)
money = st.none() | st.builds(
    Money, st.sampled_from([Decimal(0), Decimal("0.1")]), st.sampled_from(["USD", "RMB"])
)
attempts = st.builds(
    attempt,
    st.integers(200, 400),
    numbers,
    st.sampled_from(["ok", "aborted", "error", "cached"]),
    maybe,
    maybe,
    maybe,
    model=st.sampled_from([None, "gpt-4o-mini-2024-07-18", "gpt-4o"]),
    is_estimated=st.booleans(),
    copies=st.sampled_from([(), ("other",)]),
    tools=st.none() | st.integers(0, 3),
    has_schema=st.none() | st.booleans(),
    media=st.none() | st.integers(0, 2),
    added_messages=st.none() | st.integers(0, 2),
)
records = st.none() | st.builds(
    dify,
    st.none() | numbers,
    st.none() | numbers,
    st.sampled_from(DifyKind),
    total=st.none() | numbers,
    cost=money,
)
calls = st.builds(
    lambda kind, inside, status, note, kept, missing: (node if inside else call)(
        kind=kind, status=status, note=note, missing=missing, **kept
    ),
    st.sampled_from(["chat", "completion", "embedding", "rerank", "hidden:title", "hidden:anything"]),
    st.booleans(),
    st.sampled_from(Status),
    st.sampled_from([None, "rounds_not_in_message:10+2", "row_missing"]),
    st.sampled_from([{}, texts("Be brief.", "Hello there. " * 12), texts("Hi", answer="")]),
    st.sampled_from([(), ("the output schema",), ("the prompts of an agent's rounds",)]),
)
owns = st.none() | st.builds(local, st.none() | numbers, st.sampled_from(Accuracy), st.just(0.0))
sums = st.none() | st.builds(
    Sums,
    st.builds(Tokens, maybe, maybe),
    message=st.none() | st.builds(Tokens, maybe, maybe),
    run_total=maybe,
)


@settings(deadline=None, max_examples=400)
@given(calls, records, st.lists(attempts, min_size=1, max_size=4), owns, sums, money, st.booleans())
def test_findings_and_rest_always_add_up_to_vendor_minus_dify(
    about: Call,
    recorded: DifyReading | None,
    tries: list[Attempt],
    own: LocalReading | None,
    added: Sums | None,
    cost: Money | None,
    independent: bool,
) -> None:
    seen = vendor(*tries, independent=independent, cost=cost)
    if recorded is not None and recorded.tokens.total is not None:
        about = saying(about, recorded.tokens.input or 0, recorded.tokens.output or 0)
    found = judged(about, recorded, seen, own, sums=added)
    if not independent:
        assert all((item.input, item.output) == (0, 0) for item in found.findings)
        assert found.unexplained_input is None
    else:
        _adds_up(found, seen.tokens, recorded)
    for item in found.findings:
        assert FINDINGS[item.code].level is Level.CALL
        assert item.evidence
        assert item.advice
        assert "{" not in item.evidence


def _adds_up(found: Any, billed: Tokens, recorded: DifyReading | None) -> None:
    differs = False
    for side in ("input", "output"):
        difference = getattr(billed, side) - ((recorded and getattr(recorded.tokens, side)) or 0)
        explained = sum(getattr(item, side) for item in found.findings)
        assert explained + getattr(found, f"unexplained_{side}") == difference
        differs |= difference != 0
    assert (found.verdict is Verdict.AGREE) is not differs
    if not differs:
        assert all((item.input, item.output) == (0, 0) for item in found.findings)


def test_an_informing_finding_never_turns_agreement_into_an_explanation() -> None:
    told = attempt(120, 70, "ok", 100, 0, 64, copies=("log",), model="gpt-4o", tools=2)
    own = replace(local(80), tokens=Tokens(80, 7))
    found = judged(call(), dify(120, 70), vendor(told), own)
    assert found.verdict is Verdict.AGREE
    assert {code for code, given, written in codes(found) if (given, written) == (0, 0)} == {
        "duplicate_record",
        "model_substituted",
        "cached_at_full_price",
        "reasoning_invisible",
        "not_in_recount",
    }
