"""What the queues of scores and feedback send for a trace that Dify's own tracing wrote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from exporter.config import DestinationSettings
from exporter.destinations.base import Outcome, Unit, Way, rendered
from exporter.destinations.langfuse_scores import LangfuseScores
from exporter.destinations.langsmith_feedback import LangSmithFeedback
from exporter.model import AssessedTrace, Verdict
from exporter.spans import otlp
from exporter.spans.langfuse_additions import NAME
from exporter.spans.scores import COST, NAMES, UNEXPLAINED, VERDICT
from tests.contract import langfuse_twin, langsmith_twin
from tests.contract.langfuse_twin import LangfuseTwin
from tests.contract.langsmith_twin import LangSmithTwin
from tests.destinations.destination_units import RESOURCE, langfuse, langsmith
from tests.spans.assessed_traces import one_call

NOTHING_KNOWN: dict[str, Any] = {
    "vendor": None, "findings": (), "unexplained_input": None, "unexplained_output": None, "verdict": Verdict.UNVERIFIED,
}  # fmt: skip


@pytest.fixture(params=["legacy", "dual"])
def twin(request: pytest.FixtureRequest) -> Iterator[LangfuseTwin]:
    with LangfuseTwin(mode=request.param) as running:
        yield running


def scores_of(twin: LangfuseTwin) -> LangfuseScores:
    keys = {"public_key": langfuse_twin.PUBLIC_KEY, "secret_key": langfuse_twin.SECRET_KEY}
    return LangfuseScores(DestinationSettings(kind="langfuse", endpoint=twin.url, **keys), RESOURCE)


def feedback_of(twin: LangSmithTwin) -> LangSmithFeedback:
    known: dict[str, Any] = {"kind": "langsmith", "api_key": langsmith_twin.API_KEY, "project": "dify"}
    return LangSmithFeedback(DestinationSettings(endpoint=twin.url, **known), RESOURCE)


def unit(destination: Any, assessed: AssessedTrace, revision: int = 1) -> Unit:
    found = rendered(destination, assessed, Way.ENRICHED)
    of = assessed.trace
    return Unit(1, of.trace_id, revision, otlp.frame(found), len(found), of.started_at, of.ended_at)


def test_one_batch_brings_metadata_observations_and_all_five_scores(twin: LangfuseTwin) -> None:
    scores, assessed = scores_of(twin), one_call(1)
    sent, dashed = unit(scores, assessed), assessed.trace.ref.id
    assert scores.send([sent]).outcome is Outcome.ACCEPTED
    assert twin.requests == 1
    assert set(twin.scores.of_trace(dashed)) == set(NAMES)
    assert twin.scores.of_trace(assessed.trace.trace_id) == {}
    assert [(row["traceId"], row["name"]) for row in twin.ingested.observations.values()] == [(dashed, NAME)]
    assert twin.ingested.traces[dashed]["metadata"]["dify_exporter.verdict"] == "explained"
    assert scores.missing([sent]) == set()
    assert (twin.tokens(), twin.violations) == ({}, [])


def test_a_correction_takes_scores_away_and_changes_what_was_added(twin: LangfuseTwin) -> None:
    scores = scores_of(twin)
    dashed = one_call(1).trace.ref.id
    scores.send([unit(scores, one_call(1))])
    later = unit(scores, one_call(1, **NOTHING_KNOWN), revision=2)
    assert scores.missing([later]) == {1}
    assert scores.send([later]).outcome is Outcome.ACCEPTED
    assert twin.scores.of_trace(dashed) == {VERDICT: "unverified"}
    (row,) = twin.ingested.observations.values()
    assert '"verdict":"unverified"' in row["output"]
    assert '"vendor":' not in row["output"]
    assert twin.ingested.traces[dashed]["metadata"]["dify_exporter.trace.tokens.vendor.total"] == "unknown"
    assert scores.missing([later]) == set()


def test_the_same_batch_twice_leaves_everything_once(twin: LangfuseTwin) -> None:
    scores = scores_of(twin)
    sent = unit(scores, one_call(1))
    for _ in range(2):
        scores.send([sent])
    assert (len(twin.scores.rows), len(twin.ingested.observations)) == (len(NAMES), 1)
    assert twin.violations == []


def test_a_lost_observation_is_missing_and_a_read_without_answer_says_nothing(twin: LangfuseTwin) -> None:
    scores = scores_of(twin)
    sent = unit(scores, one_call(1))
    scores.send([sent])
    twin.observations.clear()
    twin.events.clear()
    assert scores.missing([sent]) == {1}
    twin.faults.no_reads = 1
    assert scores.missing([sent]) is None


def test_a_server_of_events_only_refuses_what_belongs_to_a_trace_it_does_not_have() -> None:
    with LangfuseTwin(mode="events_only") as refusing:
        scores = scores_of(refusing)
        answer = scores.send([unit(scores, one_call(1))])
        assert answer.outcome is Outcome.REFUSED
        assert answer.reason.startswith("HTTP 207: 2 events failed")


def test_spans_have_no_part_in_it() -> None:
    for destination in (langfuse("http://langfuse.invalid"), langsmith("http://langsmith.invalid")):
        assert rendered(destination, one_call(1), Way.ENRICHED) == []
        assert rendered(destination, one_call(1), Way.SKIPPED) == []
        assert rendered(destination, one_call(1), Way.OWN) == destination.render(one_call(1))


def test_feedback_is_given_to_the_run_that_dify_wrote() -> None:
    assessed = one_call(1)
    root = assessed.trace.ref.id
    with LangSmithTwin() as smith:
        feedback = feedback_of(smith)
        sent = unit(feedback, assessed)
        assert feedback.send([sent]).outcome is Outcome.RETRY  # neither run nor project are there yet
        smith.runs[root] = {
            "id": root, "trace_id": root, "parent_run_id": None, "name": "message", "session_name": "dify",
            "metadata": {}, "usage_metadata": None, "start_time": assessed.trace.started_at, "visible_at": 0.0,
        }  # fmt: skip
        assert feedback.send([sent]).outcome is Outcome.ACCEPTED
        assert set(smith.feedback.of_run(root)) == set(NAMES)
        later = unit(feedback, one_call(1, **NOTHING_KNOWN), revision=2)
        assert feedback.send([later]).outcome is Outcome.ACCEPTED
        assert smith.feedback.of_run(root) == {VERDICT: "unverified"}
        assert feedback.missing([later]) == set()
        assert smith.violations == []


def test_money_and_rest_are_the_same_as_on_a_trace_of_ours(twin: LangfuseTwin) -> None:
    scores, assessed = scores_of(twin), one_call(1)
    scores.send([unit(scores, assessed)])
    dashed = twin.scores.of_trace(assessed.trace.ref.id)
    assert (dashed[UNEXPLAINED], dashed[COST]) == (0, pytest.approx(0.0000252))
