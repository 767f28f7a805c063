"""Scores at Langfuse: one of each per trace, with its newest value, whatever happens on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from exporter.destinations.langfuse_scores import moment_ms
from exporter.model import AssessedTrace, StepKind, Verdict
from exporter.spans.scores import COST, DIFY, LOCAL, NAMES, UNEXPLAINED, VERDICT, score_id
from tests.contract.langfuse_twin import PUBLIC_KEY, SECRET_KEY, LangfuseTwin
from tests.destinations.scores_bench import HOUR, Bench, bench
from tests.spans.assessed_traces import START, one_call, step, trace, vendor

NOTHING_KNOWN: dict[str, Any] = {
    "vendor": None, "findings": (), "unexplained_input": None, "unexplained_output": None, "verdict": Verdict.PENDING,
}  # fmt: skip


@pytest.fixture(params=["events_only", "legacy", "dual"])
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    keys = {"kind": "langfuse", "public_key": PUBLIC_KEY, "secret_key": SECRET_KEY}
    with LangfuseTwin(mode=request.param) as twin, bench(twin, tmp_path, **keys) as made:
        yield made


def twin(at: Bench) -> LangfuseTwin:
    assert isinstance(at.twin, LangfuseTwin)
    return at.twin


def shown(at: Bench, of: AssessedTrace) -> dict[str, Any]:
    """What the trace's page shows; every score once and no rule broken."""
    assert twin(at).violations == []
    return twin(at).scores.of_trace(of.trace.trace_id)


def traces(count: int) -> list[AssessedTrace]:
    return [one_call(10 * number + 1) for number in range(count)]


def test_every_trace_gets_its_five_scores_once_and_they_are_read_back(at: Bench) -> None:
    sent = traces(70)
    at.queue(sent)
    at.deliver(START + HOUR)
    for each in sent:
        assert shown(at, each) == {
            DIFY: pytest.approx(150 / 282, abs=1e-6),
            LOCAL: pytest.approx(151 / 282, abs=1e-6),
            UNEXPLAINED: 0,
            VERDICT: "explained",
            COST: pytest.approx(0.0000252),
        }
    assert set(twin(at).scores.arrivals.values()) == {1}
    assert at.backlog(at.scores) is None
    assert at.delivery(at.scores).confirmed == 70
    rows = twin(at).scores.rows.values()
    assert {row["environment"] for row in rows} == {"production"}
    starts = {each.trace.trace_id: each.trace.started_at // 1000 for each in sent}
    for row in rows:
        assert (
            round(datetime.fromisoformat(row["timestamp"]).timestamp() * 1000) == starts[row["traceId"]] + 1
        )


def test_a_crash_before_the_answer_was_stored_leaves_one_score_each(at: Bench) -> None:
    sent = traces(5)
    twin(at).faults.hang_up_after = 1
    at.queue(sent, only=at.scores.destination.name)
    at.scores.step()
    backlog = at.backlog(at.scores)
    assert backlog is not None
    assert backlog.in_doubt == 5
    at.deliver(START + HOUR, at.again(at.scores))
    assert len(twin(at).scores.rows) == 5 * len(NAMES)
    assert set(twin(at).scores.arrivals.values()) == {2}
    assert shown(at, sent[0])[VERDICT] == "explained"


def test_later_evidence_corrects_every_score_in_place(at: Bench) -> None:
    early, late = one_call(1, **NOTHING_KNOWN), one_call(1)
    at.queue([early])
    at.deliver(START + HOUR)
    assert shown(at, early) == {VERDICT: "pending"}
    at.queue([late], revision=2)
    at.deliver(at.clock.now + HOUR)
    assert shown(at, late)[VERDICT] == "explained"
    assert set(shown(at, late)) == set(NAMES)
    other = one_call(1, vendor=vendor(340, 42), unexplained_input=100, verdict=Verdict.UNEXPLAINED)
    at.queue([other], revision=3)
    at.deliver(at.clock.now + HOUR)
    assert shown(at, other)[VERDICT] == "unexplained"
    assert shown(at, other)[UNEXPLAINED] == 100
    assert len(twin(at).scores.rows) == len(NAMES)
    verdict = score_id(other.trace.trace_id, VERDICT)
    (row,) = (row for row in twin(at).scores.rows.values() if row["id"] == verdict)
    assert row["comment"].startswith("They differ, and a rest remains")


def test_a_correction_in_doubt_that_is_sent_again_leaves_the_new_value(at: Bench) -> None:
    at.queue([one_call(1, **NOTHING_KNOWN)])
    at.deliver(START + HOUR)
    twin(at).faults.hang_up_after = 1
    at.queue([one_call(1)], revision=2, only=at.scores.destination.name)
    at.scores.step()
    at.deliver(at.clock.now + HOUR, at.again(at.scores))
    assert shown(at, one_call(1))[VERDICT] == "explained"
    assert len(twin(at).scores.rows) == len(NAMES)


def test_what_a_correction_no_longer_knows_is_taken_away(at: Bench) -> None:
    at.queue([one_call(1)])
    at.deliver(START + HOUR)
    at.queue([one_call(1, **{**NOTHING_KNOWN, "verdict": Verdict.UNVERIFIED})], revision=2)
    at.deliver(at.clock.now + HOUR)
    assert shown(at, one_call(1)) == {VERDICT: "unverified"}
    assert at.backlog(at.scores) is None


def test_a_server_that_is_down_for_an_hour_gets_everything_afterwards(at: Bench) -> None:
    sent = traces(3)
    twin(at).down()
    at.queue(sent)
    at.deliver(START + HOUR)
    assert not twin(at).scores.rows
    twin(at).up()
    at.deliver(at.clock.now + HOUR)
    assert len(twin(at).scores.rows) == 3 * len(NAMES)
    assert set(twin(at).scores.arrivals.values()) == {1}


def test_a_refused_score_is_set_aside_alone_and_holds_back_no_span(at: Bench) -> None:
    sent = traces(40)
    bad = score_id(sent[17].trace.trace_id, COST)
    twin(at).scores.poison = {bad}
    at.queue(sent)
    at.deliver(START + HOUR)
    assert len(twin(at).counts()) == sum(len(each.trace.steps) for each in sent)
    assert at.backlog(at.spans) is None
    backlog = at.backlog(at.scores)
    assert backlog is not None
    assert (backlog.dead, backlog.ready, backlog.in_doubt, backlog.acked) == (1, 0, 0, 0)
    assert len(twin(at).scores.rows) == 40 * len(NAMES) - 1
    assert COST not in shown(at, sent[17])


def test_scores_that_were_acknowledged_and_lost_are_sent_again(at: Bench) -> None:
    sent = traces(10)
    twin(at).faults.lose_spans = 7
    at.queue(sent, only=at.scores.destination.name)
    at.deliver(START + HOUR, at.scores)
    assert len(twin(at).scores.rows) == 10 * len(NAMES)
    assert at.delivery(at.scores).resent > 0


@pytest.mark.parametrize(
    ("fault", "count"), [("throttle", 4), ("fail", 4), ("hang_up", 4), ("max_bytes", 3000)]
)
def test_other_failures_are_tried_again(at: Bench, fault: str, count: int) -> None:
    sent = traces(12)
    setattr(twin(at).faults, fault, count)
    at.queue(sent, only=at.scores.destination.name)
    at.deliver(START + HOUR, at.scores)
    assert len(twin(at).scores.rows) == 12 * len(NAMES)
    assert at.backlog(at.scores) is None


def test_a_server_that_cannot_be_asked_keeps_scores_until_it_can(at: Bench) -> None:
    at.queue(traces(2), only=at.scores.destination.name)
    twin(at).faults.no_reads = 3
    at.deliver(START + HOUR, at.scores)
    assert at.backlog(at.scores) is None
    assert at.delivery(at.scores).confirmed == 2


def test_a_debug_run_scores_in_the_environment_of_its_spans(at: Bench) -> None:
    of = one_call(1)
    of = replace(of, trace=replace(of.trace, is_debug=True))
    at.queue([of])
    at.deliver(START + HOUR)
    assert {row["environment"] for row in twin(at).scores.rows.values()} == {"debug"}
    assert {row["environment"] for row in twin(at).rows()} == {"debug"}


def test_wrong_keys_hold_the_queue(tmp_path: Path) -> None:
    keys = {"kind": "langfuse", "public_key": "pk", "secret_key": "sk-very-secret"}
    with LangfuseTwin() as server, bench(server, tmp_path, **keys) as at:
        at.queue(traces(1))
        at.scores.step()
        assert "401" in (at.delivery(at.scores).hold or "")
        assert "sk-very-secret" not in str(at.delivery(at.scores))


def test_every_revision_of_a_trace_that_began_before_midnight_stays_on_its_day() -> None:
    midnight = 1_795_478_400_000
    assert datetime.fromtimestamp(midnight / 1000, UTC).hour == 0
    for before in (1, 500, 59_999, 60_000, 60_001):
        moments = [moment_ms((midnight - before) * 1000, revision) for revision in (1, 2, 3, 700)]
        assert moments == sorted(set(moments))
        assert max(moments) < midnight
    assert moment_ms(midnight * 1000, 1) == midnight + 1


def test_a_trace_without_model_calls_asks_nothing_of_the_platform(at: Bench) -> None:
    of = AssessedTrace(trace(1, (step(1, StepKind.MESSAGE),)), (), Verdict.AGREE)
    at.queue([of])
    at.deliver(START + HOUR)
    assert at.backlog(at.scores) is None
    assert not twin(at).scores.rows


def test_what_the_scores_mean_is_told_once_and_what_the_operator_made_stays(at: Bench) -> None:
    own = {"name": DIFY, "dataType": "NUMERIC", "description": "mine"}
    others = [{"name": f"quality {number}", "dataType": "NUMERIC"} for number in range(120)]
    for config in (*others, own):
        twin(at).scores.configure(json.dumps(config).encode())
    at.queue(traces(3))
    at.deliver(START + HOUR)
    twin(at).scores.configs[-1]["isArchived"] = True
    with bench(
        twin(at), at.folder, kind="langfuse", public_key=PUBLIC_KEY, secret_key=SECRET_KEY
    ) as restarted:
        restarted.queue(traces(4))
        restarted.deliver(START + 2 * HOUR)
    made = {config["name"]: config for config in twin(at).scores.configs[120:]}
    assert set(made) == set(NAMES)
    assert len(twin(at).scores.configs) == 120 + len(NAMES)
    assert made[DIFY]["description"] == "mine"
    assert {category["label"] for category in made[VERDICT]["categories"]} == {str(each) for each in Verdict}
    assert twin(at).violations == []
