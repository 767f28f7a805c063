"""When a trace may leave."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.config import CompareSettings, DifySettings
from exporter.model import (
    SECOND,
    App,
    AssessedTrace,
    Assessment,
    Call,
    RecordKind,
    RecordRef,
    Status,
    Sums,
    Tokens,
    Trace,
    Verdict,
)
from exporter.waiting import Decision, decide

NOW = 1_795_461_600 * SECOND
DIFY = DifySettings()  # type: ignore[call-arg]
COMPARE = CompareSettings()  # type: ignore[call-arg]
HOUR, DAY = 3600 * SECOND, 86400 * SECOND


def _trace(age: int, **changes: object) -> AssessedTrace:
    trace = Trace(
        trace_id="a" * 32, ref=RecordRef(RecordKind.RUN, "x", NOW - age), app=App("a", "A", "workflow", "t"), name="A",
        started_at=NOW - age, ended_at=NOW - age, status=Status.OK, steps=(), sums=Sums(Tokens()),
    )  # fmt: skip
    return AssessedTrace(replace(trace, **changes), (), Verdict.UNVERIFIED)  # type: ignore[arg-type]


def _decide(
    trace: AssessedTrace,
    *,
    checks: int = 0,
    expected: bool = False,
    exported: bool = False,
    different: bool = False,
    hurry: bool = False,
) -> Decision:
    return decide(
        trace,
        NOW,
        checks,
        DIFY,
        COMPARE,
        evidence_expected=expected,
        was_exported=exported,
        is_different=different,
        hurry=hurry,
    )


def test_a_finished_trace_leaves_at_once() -> None:
    assert _decide(_trace(10 * SECOND)) == Decision(True)


def test_a_run_that_just_finished_gets_a_moment_for_its_last_rows() -> None:
    decision = _decide(_trace(SECOND, workflow_run_id="r"))
    assert (decision.export, decision.look_again_at) == (False, NOW + 2 * SECOND)


@pytest.mark.parametrize("hurry", [False, True])
def test_with_evidence_expected_the_first_look_never_exports(hurry: bool) -> None:
    decision = _decide(_trace(HOUR), expected=True, hurry=hurry)
    assert not decision.export
    assert decision.look_again_at == NOW


def test_a_running_row_is_looked_at_again_with_growing_pauses() -> None:
    pauses = [
        (_decide(_trace(60 * SECOND, is_final=False), checks=checks).look_again_at or 0) - NOW
        for checks in range(12)
    ]
    assert pauses == sorted(pauses)
    assert pauses[0] == 5 * SECOND
    assert pauses[-1] == 900 * SECOND


def test_a_row_running_for_too_long_leaves_as_unfinished_and_stays_watched() -> None:
    decision = _decide(_trace(2 * HOUR, is_final=False, status=Status.UNFINISHED))
    assert decision.export
    assert decision.look_again_at is not None


def test_a_paused_run_waits_for_days() -> None:
    assert not _decide(_trace(2 * DAY, is_final=False, is_paused=True)).export
    assert _decide(_trace(8 * DAY, is_final=False, is_paused=True)).export


def test_an_unfinished_row_is_exported_once_and_given_up_after_a_month() -> None:
    again = _decide(_trace(2 * DAY, is_final=False), exported=True)
    assert (again.export, again.look_again_at is not None) == (False, True)
    assert _decide(_trace(31 * DAY, is_final=False), exported=True) == Decision(False, None, "never finished")


def test_a_watched_row_that_finished_after_all_is_exported_again() -> None:
    assert _decide(_trace(2 * DAY), checks=5, exported=True) == Decision(True)


def test_a_month_old_unfinished_row_met_for_the_first_time_is_exported() -> None:
    assert _decide(_trace(40 * DAY, is_final=False)).export


def test_an_unfinished_trace_that_was_exported_leaves_again_only_when_something_else_is_known() -> None:
    old = _trace(2 * 3600 * SECOND, is_final=False)
    assert not _decide(old, exported=True).export
    assert _decide(old, exported=True, different=True).export


def test_an_unfinished_trace_is_known_to_the_matching_before_it_leaves() -> None:
    old = _trace(2 * 3600 * SECOND, is_final=False)
    assert (
        _decide(old, expected=True, hurry=True).export,
        _decide(old, expected=True, hurry=True).look_again_at,
    ) == (
        False,
        NOW,
    )
    assert _decide(old, expected=True, checks=1).export


def test_a_trace_that_was_corrected_before_it_settled_is_looked_at_once_more_when_it_has() -> None:
    call = _unproven()
    decision = _decide(call, checks=1, expected=True, exported=True)
    assert (decision.export, decision.look_again_at) == (True, call.trace.ended_at + 60 * SECOND)
    assert _decide(call, checks=1, expected=True, exported=True, hurry=True) == Decision(True)


def _unproven() -> AssessedTrace:
    """A trace that just ended, with a call of which no vendor has spoken."""
    ended = _trace(5 * SECOND)
    call = Call("message:x", "chat", "openai", "gpt-4o", NOW, NOW, Status.OK, None)
    return replace(ended, assessments=(Assessment(call, None, None, None, Verdict.PENDING),))
