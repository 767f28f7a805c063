"""Feedback at LangSmith: one of each per trace, with its newest value, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from exporter.model import SECOND, AssessedTrace, StepKind, Verdict
from exporter.spans.langsmith_runs import runs
from exporter.spans.scores import COST, DIFY, LOCAL, NAMES, UNEXPLAINED, VERDICT, score_id
from exporter.spans.tree import tree
from exporter.state import outbox
from tests.contract.langsmith_twin import API_KEY, LangSmithTwin, project_id
from tests.destinations.scores_bench import HOUR, Bench, bench
from tests.spans.assessed_traces import START, one_call, step, trace, vendor

NOTHING_KNOWN: dict[str, Any] = {
    "vendor": None, "findings": (), "unexplained_input": None, "unexplained_output": None, "verdict": Verdict.PENDING,
}  # fmt: skip


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Bench]:
    known = {"kind": "langsmith", "api_key": API_KEY, "project": "dify"}
    with LangSmithTwin() as twin, bench(twin, tmp_path, **known) as made:
        yield made


def twin(at: Bench) -> LangSmithTwin:
    assert isinstance(at.twin, LangSmithTwin)
    return at.twin


def shown(at: Bench, of: AssessedTrace) -> dict[str, Any]:
    """What the trace's run shows; no rule broken."""
    assert twin(at).violations == []
    root = runs(tree(of))[of.trace.steps[0].span_id].id
    return twin(at).feedback.of_run(root)


def traces(count: int) -> list[AssessedTrace]:
    return [one_call(10 * number + 1) for number in range(count)]


def test_every_trace_gets_its_five_scores_once_and_they_are_read_back(at: Bench) -> None:
    sent = traces(30)
    at.queue(sent)
    at.deliver(START + HOUR)
    for each in sent:
        assert shown(at, each) == {
            DIFY: round(150 / 282, 4),
            LOCAL: round(151 / 282, 4),
            UNEXPLAINED: 0,
            VERDICT: "explained",
            COST: 0.0,
        }
    rows = list(twin(at).feedback.rows.values())
    assert {row["value"] for row in rows if row["key"] == COST} == {"0.0000252 USD"}
    assert {row["session_id"] for row in rows} == {project_id("dify")}
    assert {row["extend_trace_retention"] for row in rows} == {False}
    assert set(twin(at).feedback.posts.values()) == {1}
    assert at.backlog(at.scores) is None
    assert at.delivery(at.scores).confirmed == 30


def test_a_crash_in_the_middle_of_a_trace_leaves_one_score_each(at: Bench) -> None:
    (of,) = traces(1)
    at.queue([of])
    at.deliver(START + HOUR, at.spans)
    twin(at).faults.hang_up_after = 1
    at.scores.step()
    assert len(twin(at).feedback.rows) == 1
    at.deliver(at.clock.now + HOUR, at.again(at.scores))
    assert set(shown(at, of)) == set(NAMES)
    assert set(twin(at).feedback.posts.values()) == {1}


def test_later_evidence_corrects_every_score_in_place(at: Bench) -> None:
    early, late = one_call(1, **NOTHING_KNOWN), one_call(1)
    at.queue([early])
    at.deliver(START + HOUR)
    assert shown(at, early) == {VERDICT: "pending"}
    at.queue([late], revision=2)
    at.deliver(at.clock.now + HOUR)
    assert set(shown(at, late)) == set(NAMES)
    assert shown(at, late)[VERDICT] == "explained"
    other = one_call(1, vendor=vendor(340, 42), unexplained_input=100, verdict=Verdict.UNEXPLAINED)
    at.queue([other], revision=3)
    at.deliver(at.clock.now + HOUR)
    assert shown(at, other)[VERDICT] == "unexplained"
    assert shown(at, other)[UNEXPLAINED] == 100
    row = twin(at).feedback.rows[score_id(other.trace.trace_id, VERDICT)]
    assert row["comment"].startswith("They differ, and a rest remains")


def test_a_correction_in_doubt_that_is_sent_again_leaves_the_new_value(at: Bench) -> None:
    at.queue([one_call(1, **NOTHING_KNOWN)])
    at.deliver(START + HOUR)
    at.queue([one_call(1)], revision=2)
    at.deliver(at.clock.now + HOUR, at.spans)
    twin(at).faults.hang_up_after = 3
    at.scores.step()
    at.deliver(at.clock.now + HOUR, at.again(at.scores))
    assert shown(at, one_call(1))[VERDICT] == "explained"
    assert len(twin(at).feedback.rows) == len(NAMES)


def test_what_a_correction_no_longer_knows_is_taken_away(at: Bench) -> None:
    at.queue([one_call(1)])
    at.deliver(START + HOUR)
    at.queue([one_call(1, **{**NOTHING_KNOWN, "verdict": Verdict.UNVERIFIED})], revision=2)
    at.deliver(at.clock.now + HOUR)
    assert shown(at, one_call(1)) == {VERDICT: "unverified"}
    assert at.backlog(at.scores) is None


def test_scores_wait_for_a_run_that_is_not_there_yet(at: Bench) -> None:
    first, late = traces(2)
    at.queue([first])
    at.deliver(START + HOUR)
    at.queue([late])
    at.scores.step()
    assert twin(at).feedback.not_found == 1
    assert shown(at, late) == {}
    at.deliver(at.clock.now + HOUR)
    assert set(shown(at, late)) == set(NAMES)
    assert at.backlog(at.scores) is None


def test_scores_wait_for_a_project_that_is_made_by_its_first_run(at: Bench) -> None:
    (of,) = traces(1)
    at.queue([of])
    at.scores.step()
    assert not twin(at).feedback.rows
    at.deliver(at.clock.now + HOUR)
    assert set(shown(at, of)) == set(NAMES)


def test_while_no_run_arrives_for_hours_no_score_is_given_up(at: Bench) -> None:
    at.queue(traces(3))
    at.deliver(START + 5 * HOUR, at.scores)
    backlog = at.backlog(at.scores)
    assert backlog is not None
    assert (backlog.dead, backlog.ready + backlog.in_doubt) == (0, 3)
    at.deliver(at.clock.now + HOUR)
    assert at.backlog(at.scores) is None
    assert all(set(shown(at, each)) == set(NAMES) for each in traces(3))


def test_scores_of_a_run_that_never_comes_hold_no_other_trace_back(at: Bench) -> None:
    sent = traces(4)
    at.queue(sent[:1], only=at.scores.destination.name)
    at.queue(sent[1:])
    at.deliver(START + 3 * HOUR)
    assert all(set(shown(at, each)) == set(NAMES) for each in sent[1:])
    backlog = at.backlog(at.scores)
    assert backlog is not None
    assert (backlog.dead, backlog.ready, backlog.in_doubt) == (len(NAMES), 0, 0)
    at.queue(sent[:1], only=at.spans.destination.name)
    at.deliver(at.clock.now + HOUR)
    with at.store.transaction("replay") as connection:
        outbox.revive(connection, at.clock())
    at.deliver(at.clock.now + HOUR)
    assert set(shown(at, sent[0])) == set(NAMES)


def test_a_server_that_is_down_for_an_hour_gets_everything_afterwards(at: Bench) -> None:
    sent = traces(3)
    twin(at).down()
    at.queue(sent)
    at.deliver(START + HOUR)
    twin(at).up()
    at.deliver(at.clock.now + HOUR)
    assert all(set(shown(at, each)) == set(NAMES) for each in sent)
    assert set(twin(at).feedback.posts.values()) == {1}


def test_a_refused_score_is_set_aside_alone_and_holds_back_no_run(at: Bench) -> None:
    sent = traces(6)
    twin(at).feedback.poison = {score_id(sent[3].trace.trace_id, COST)}
    at.queue(sent)
    at.deliver(START + HOUR)
    assert len(twin(at).runs) == sum(len(each.trace.steps) for each in sent)
    assert at.backlog(at.spans) is None
    backlog = at.backlog(at.scores)
    assert backlog is not None
    assert (backlog.dead, backlog.ready, backlog.in_doubt, backlog.acked) == (1, 0, 0, 0)
    assert set(shown(at, sent[3])) == set(NAMES) - {COST}


def test_scores_that_were_acknowledged_and_lost_are_sent_again(at: Bench) -> None:
    sent = traces(4)
    at.queue(sent)
    at.deliver(START + HOUR, at.spans)
    twin(at).faults.lose_spans = 3
    at.deliver(at.clock.now + HOUR, at.scores)
    assert all(set(shown(at, each)) == set(NAMES) for each in sent)
    assert at.delivery(at.scores).resent > 0


@pytest.mark.parametrize("fault", ["throttle", "fail", "hang_up"])
def test_other_failures_are_tried_again(at: Bench, fault: str) -> None:
    sent = traces(4)
    at.queue(sent)
    at.deliver(START + HOUR, at.spans)
    setattr(twin(at).faults, fault, 7)
    at.deliver(at.clock.now + HOUR, at.scores)
    assert all(set(shown(at, each)) == set(NAMES) for each in sent)


def test_a_platform_that_takes_feedback_late_is_given_seconds_not_hours(at: Bench) -> None:
    (of,) = traces(1)
    at.queue([of])
    at.scores.step()
    at.spans.step()
    before = at.clock.now
    at.deliver(before + HOUR, at.scores)
    assert set(shown(at, of)) == set(NAMES)
    assert at.clock.now - before < 60 * SECOND


def test_the_wire_is_that_of_the_platforms_own_sdk(at: Bench) -> None:
    from langsmith import Client

    (of,) = traces(1)
    at.queue([of])
    at.deliver(START + HOUR)
    for ours in list(twin(at).feedback.rows.values()):
        del twin(at).feedback.rows[ours["id"]]
        client = Client(api_url=twin(at).url, api_key=API_KEY, auto_batch_tracing=False)
        client.create_feedback(
            ours["run_id"],
            ours["key"],
            score=ours.get("score"),
            value=ours.get("value"),
            comment=ours["comment"],
            trace_id=ours["trace_id"],
            feedback_id=ours["id"],
            session_id=ours["session_id"],
            start_time=datetime.fromisoformat(ours["start_time"]),
            source_info=ours["feedback_source"]["metadata"],
            extend_trace_retention=False,
        )
        theirs = dict(twin(at).feedback.rows[ours["id"]])
        assert {name: theirs.pop(name) for name in ("created_at", "modified_at")}
        assert theirs == ours


def test_a_trace_without_model_calls_asks_nothing_of_the_platform(at: Bench) -> None:
    of = AssessedTrace(trace(1, (step(1, StepKind.MESSAGE),)), (), Verdict.AGREE)
    at.queue([of])
    at.deliver(START + HOUR)
    assert at.backlog(at.scores) is None
    assert not twin(at).feedback.rows
