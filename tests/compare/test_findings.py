"""Each cause is found by the numbers that prove it, and findings plus rest are always vendor − dify."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.compare.verdict import assess
from exporter.model import (
    Accuracy,
    Assessment,
    Attempt,
    Call,
    Confidence,
    DifyKind,
    DifyReading,
    LocalReading,
    Status,
    Tokens,
    VendorReading,
    Verdict,
)


def call(**changes: Any) -> Call:
    known: dict[str, Any] = {
        "call_id": "message:1",
        "kind": "chat",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "started_at": 0,
        "ended_at": 1,
        "status": Status.OK,
        "recorded": None,
        "answer": "Two years.",
    }
    return Call(**{**known, **changes})


def dify(
    given: int | None, written: int | None, kind: DifyKind = DifyKind.VENDOR_PASSED, **changes: Any
) -> DifyReading:
    return DifyReading(Tokens(given, written), "messages", kind, **changes)


def vendor(*attempts: Attempt, tokens: Tokens | None = None, independent: bool = True) -> VendorReading:
    summed = tokens or Tokens(
        sum(a.tokens.input or 0 for a in attempts),
        sum(a.tokens.output or 0 for a in attempts),
        sum(a.tokens.cache_read or 0 for a in attempts),
        sum(a.tokens.cache_write or 0 for a in attempts),
    )
    return VendorReading(summed, "gateway:gw", independent, "response_text", 0.99, attempts)


def attempt(
    given: int, written: int, status: str = "ok", read: int | None = None, wrote: int | None = None
) -> Attempt:
    return Attempt("r", "gw", status, 0, 1, Tokens(given, written, read, wrote))


def judged(
    about: Call,
    recorded: DifyReading | None,
    seen: VendorReading | None,
    local: LocalReading | None = None,
    **kw: Any,
) -> Assessment:
    wanted = {"tolerance_percent": 5.0, "evidence_expected": False, **kw}
    return assess(about, recorded, local, seen, **wanted)


def codes(found: Assessment) -> list[tuple[str, int, int]]:
    return [(item.code, item.input, item.output) for item in found.findings]


def test_equal_to_the_token_agrees_and_finds_nothing() -> None:
    found = judged(call(), dify(12, 7), vendor(attempt(12, 7)))
    assert (found.verdict, found.findings) == (Verdict.AGREE, ())
    assert (found.unexplained_input, found.unexplained_output, found.within_tolerance) == (0, 0, True)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (Status.STOPPED, "recorded_nothing_stopped"),
        (Status.ERROR, "recorded_nothing_failed"),
        (Status.UNFINISHED, "recorded_nothing_abandoned"),
        (Status.OK, "recorded_nothing_finished"),
    ],
)
@pytest.mark.parametrize("recorded", [None, dify(0, 0, DifyKind.ZERO)], ids=["no record", "zeros"])
def test_a_call_of_which_dify_recorded_nothing_is_explained_by_how_it_ended(
    status: Status, code: str, recorded: DifyReading | None
) -> None:
    found = judged(call(status=status), recorded, vendor(attempt(39, 73)))
    assert (found.verdict, codes(found)) == (Verdict.EXPLAINED, [(code, 39, 73)])
    assert "39 + 73 tokens" in found.findings[0].evidence


def test_a_failed_call_that_the_vendor_refused_agrees() -> None:
    free = attempt(0, 0, "error")
    assert judged(call(status=Status.ERROR), None, vendor(free, free)).verdict is Verdict.AGREE


def test_four_billed_tries_of_a_failed_node_are_three_retries_and_one_lost_call() -> None:
    tries = [attempt(21, 31, "aborted")] * 4
    found = judged(call(status=Status.ERROR), None, vendor(*tries))
    assert codes(found) == [("retry_billed", 63, 93), ("recorded_nothing_failed", 21, 31)]
    assert found.verdict is Verdict.EXPLAINED


def test_an_answer_that_was_thrown_away_is_a_billed_retry() -> None:
    found = judged(call(), dify(20, 9), vendor(attempt(20, 4), attempt(20, 9)))
    assert codes(found) == [("retry_billed", 20, 4)]


def test_the_rounds_of_an_agent_node_are_no_retries() -> None:
    found = judged(call(), dify(60, 13), vendor(attempt(20, 4), attempt(40, 9)))
    assert (found.verdict, found.findings) == (Verdict.AGREE, ())


def test_a_plugin_s_own_estimate_explains_its_whole_difference() -> None:
    found = judged(call(), dify(8, 34, DifyKind.ESTIMATE), vendor(attempt(61, 33)))
    assert codes(found) == [("plugin_estimate", 53, -1)]
    assert found.findings[0].confidence is Confidence.LIKELY


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
    assert (found.verdict, found.findings[0].confidence) == (Verdict.EXPLAINED, Confidence.CERTAIN)


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


def test_what_an_agent_round_kept_explains_a_message_that_says_nothing() -> None:
    kept = call(note="rounds_not_in_message:183+14")
    found = judged(kept, dify(0, 0, DifyKind.ZERO), vendor(attempt(183, 14)))
    assert codes(found) == [("rounds_not_in_message", 183, 14)]


def test_an_answer_from_a_gateway_s_cache_was_not_billed() -> None:
    found = judged(call(), dify(12, 7), vendor(attempt(0, 0, "cached")))
    assert codes(found) == [("gateway_cache_hit", -12, -7)]


def test_a_difference_without_a_cause_stays_unexplained_with_its_size() -> None:
    found = judged(call(), dify(100, 7), vendor(attempt(103, 7)))
    assert (found.verdict, found.findings) == (Verdict.UNEXPLAINED, ())
    assert (found.unexplained_input, found.unexplained_output, found.within_tolerance) == (3, 0, True)
    assert (
        judged(call(), dify(100, 7), vendor(attempt(103, 7)), tolerance_percent=2.0).within_tolerance is False
    )


def test_opposite_rests_do_not_hide_each_other() -> None:
    found = judged(call(), dify(50, 50), vendor(attempt(60, 40)))
    assert found.within_tolerance is False


# ── without an independent vendor reading ───────────────────────────────────────────────────────────────────


def local(given: int | None, accuracy: Accuracy, error: float | None) -> LocalReading:
    return LocalReading(Tokens(given, 7), "o200k_base", accuracy, error)


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
        (call(status=Status.UNFINISHED), None, ["recorded_nothing_abandoned"]),
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


# ── always ──────────────────────────────────────────────────────────────────────────────────────────────────

numbers = st.integers(0, 400)
attempts = st.builds(
    attempt,
    st.integers(200, 400),
    numbers,
    st.sampled_from(["ok", "aborted", "error", "cached"]),
    st.none() | st.integers(0, 100),
    st.none() | st.integers(0, 100),
)
records = st.none() | st.builds(
    dify, st.none() | numbers, st.none() | numbers, st.sampled_from(DifyKind), total=st.none() | numbers
)


@settings(deadline=None)
@given(
    st.sampled_from(Status),
    records,
    st.lists(attempts, min_size=1, max_size=4),
    st.none() | st.just("rounds_not_in_message:10+2"),
)
def test_findings_and_rest_always_add_up_to_vendor_minus_dify(
    status: Status, recorded: DifyReading | None, tries: list[Attempt], note: str | None
) -> None:
    seen = vendor(*tries)
    found = judged(call(status=status, note=note), recorded, seen)
    for side in ("input", "output"):
        difference = getattr(seen.tokens, side) - ((recorded and getattr(recorded.tokens, side)) or 0)
        explained = sum(getattr(item, side) for item in found.findings)
        assert explained + getattr(found, f"unexplained_{side}") == difference
    for item in found.findings:
        assert item.evidence
        assert item.advice
        assert "{" not in item.evidence
