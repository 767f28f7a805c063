"""LangSmith, end to end against the twin."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.destinations.base import Confirmation, Outcome, Unit
from exporter.model import Verdict
from exporter.spans import otlp
from tests.contract.langsmith_twin import WORKSPACE, LangSmithTwin
from tests.destinations.destination_units import langsmith, unit
from tests.spans import assessed_traces as traces


def test_every_run_is_held_once_and_no_rule_is_broken() -> None:
    with LangSmithTwin() as twin:
        destination = langsmith(twin)
        units = [unit(destination, traces.chatflow(1000 * number), number) for number in (1, 2)]
        assert [destination.send([item]).outcome for item in units] == [Outcome.ACCEPTED] * 2
        assert destination.missing(units) == set()
        assert len(twin.runs) == 24
        assert set(twin.arrivals.values()) == {1}
        assert {run["session_name"] for run in twin.runs.values()} == {"dify"}
        assert twin.violations == []


def test_a_trace_that_is_there_already_is_a_duplicate_and_stays_as_it_was() -> None:
    with LangSmithTwin() as twin:
        destination = langsmith(twin)
        destination.send([unit(destination, traces.one_call(vendor=None, findings=()))])
        before = {run_id: run["usage_metadata"] for run_id, run in twin.runs.items()}
        assert destination.send([unit(destination, traces.one_call())]).outcome is Outcome.DUPLICATE
        assert {run_id: run["usage_metadata"] for run_id, run in twin.runs.items()} == before


def comparable(twin: LangSmithTwin) -> dict[str, dict[str, object]]:
    return {
        run_id: {name: value for name, value in run.items() if name not in ("visible_at", "expires_at")}
        for run_id, run in twin.runs.items()
    }


def test_a_later_revision_patches_the_runs_until_they_are_as_if_sent_at_first() -> None:
    with LangSmithTwin() as twin, LangSmithTwin() as fresh:
        destination = langsmith(twin)
        destination.send([unit(destination, traces.one_call(vendor=None, findings=()), revision=1)])
        assert destination.corrects
        corrected = unit(destination, traces.one_call(), revision=2)
        assert destination.send([corrected]).outcome is Outcome.ACCEPTED
        assert destination.send([corrected]).outcome is Outcome.ACCEPTED
        at_first = langsmith(fresh)
        at_first.send([unit(at_first, traces.one_call(), revision=1)])
        assert comparable(twin) == comparable(fresh)
        assert set(twin.arrivals.values()) == {1}
        assert set(twin.patches.values()) == {2}
        assert twin.violations == []


def test_a_run_that_is_new_in_a_later_revision_is_added() -> None:
    with LangSmithTwin() as twin:
        destination = langsmith(twin)
        whole = unit(destination, traces.chatflow(), revision=2)
        spans = otlp.split(whole.spans)
        first = replace(whole, revision=1, spans=otlp.frame(spans[:-1]), span_count=len(spans) - 1)
        destination.send([first])
        assert destination.send([whole]).outcome is Outcome.ACCEPTED
        assert destination.missing([whole]) == set()
        assert set(twin.arrivals.values()) == {1}
        assert len(twin.patches) == len(spans) - 1
        assert twin.violations == []


def test_a_correction_waits_while_the_first_revision_cannot_be_seen_or_asked_for() -> None:
    with LangSmithTwin(delay=3600.0) as twin:
        destination = langsmith(twin)
        destination.send([unit(destination, traces.one_call(vendor=None, findings=()), revision=1)])
        corrected = unit(destination, traces.one_call(), revision=2)
        assert destination.send([corrected]).outcome is Outcome.RETRY
        twin.settle()
        twin.faults.no_reads = 1
        assert destination.send([corrected]).outcome is Outcome.RETRY
        assert destination.send([corrected]).outcome is Outcome.ACCEPTED
        assert set(twin.arrivals.values()) == {1}


def test_what_is_missing_of_a_half_stored_trace_is_found_span_by_span() -> None:
    with LangSmithTwin() as twin:
        destination = langsmith(twin)
        whole = unit(destination, traces.chatflow())
        twin.faults.lose_spans = 2
        destination.send([whole])
        assert destination.missing([whole]) == {1}
        assert destination.send([whole]).outcome is Outcome.DUPLICATE
        pieces = [
            replace(whole, seq=10 + place, spans=otlp.frame([span]), span_count=1)
            for place, span in enumerate(otlp.split(whole.spans))
        ]
        # what hangs below the two lost runs waits for them, and is not there yet
        absent = destination.missing(pieces)
        assert absent is not None
        assert {10, 11} <= absent
        outcomes = {piece.seq: destination.send([piece]).outcome for piece in pieces if piece.seq in absent}
        assert (outcomes[10], outcomes[11]) == (Outcome.ACCEPTED, Outcome.ACCEPTED)
        assert destination.missing([whole]) == set()
        assert len(twin.runs) == 12
        assert twin.violations == []


def test_a_child_without_its_parent_expires_and_is_found_missing() -> None:
    with LangSmithTwin(orphan_seconds=0.0) as twin:
        destination = langsmith(twin)
        whole = unit(destination, traces.one_call())
        root, child = otlp.split(whole.spans)
        orphan = replace(whole, seq=2, spans=otlp.frame([child]), span_count=1)
        assert destination.send([orphan]).outcome is Outcome.ACCEPTED
        assert destination.missing([orphan]) == {2}
        assert any("expired" in violation for violation in twin.violations)
        assert destination.send([whole]).outcome is Outcome.ACCEPTED
        assert destination.missing([whole, orphan]) == set()
        assert root != child
        assert destination.limits.needs_parents


def test_many_runs_are_asked_for_page_by_page() -> None:
    with LangSmithTwin() as twin:
        destination = langsmith(twin)
        units: list[Unit] = []
        for number in range(25):
            units.append(unit(destination, traces.chatflow(1000 + 20 * number), number))
            destination.send(units[-1:])
        twin.faults.lose_spans = 12
        lost = unit(destination, traces.chatflow(9000), 99)
        destination.send([lost])
        assert destination.missing([*units, lost]) == {99}


def test_a_server_with_smaller_pages_is_read_to_the_end() -> None:
    with LangSmithTwin(page=5) as twin:
        destination = langsmith(twin)
        units = [unit(destination, traces.chatflow())]
        destination.send(units)
        assert destination.missing(units) == set()


def test_nothing_is_there_before_the_project_exists_or_the_queue_has_run() -> None:
    with LangSmithTwin(delay=3600) as twin:
        destination = langsmith(twin)
        units = [unit(destination, traces.one_call())]
        assert destination.missing(units) == {1}
        destination.send(units)
        assert destination.missing(units) == {1}
        twin.settle()
        assert destination.missing(units) == set()


def test_reading_back_is_no_answer_while_it_is_refused_or_down() -> None:
    twin = LangSmithTwin().up()
    destination = langsmith(twin)
    units = [unit(destination, traces.one_call())]
    destination.send(units)
    twin.faults.no_reads = 1
    assert destination.missing(units) is None
    twin.down()
    assert destination.missing(units) is None
    assert destination.send(units).outcome is Outcome.RETRY


def test_a_project_named_in_any_script_is_used() -> None:
    with LangSmithTwin() as twin:
        destination = langsmith(twin, project="客服")
        units = [unit(destination, traces.one_call())]
        destination.send(units)
        assert {run["session_name"] for run in twin.runs.values()} == {"客服"}
        assert destination.missing(units) == set()


def test_a_key_of_an_organisation_needs_its_workspace_and_says_so() -> None:
    with LangSmithTwin(organisation_key=True) as twin:
        units = [unit(langsmith(twin), traces.one_call())]
        answer = langsmith(twin).send(units)
        assert answer.outcome is Outcome.HOLD
        assert "org_scoped_key_requires_workspace" in answer.reason
        lines = langsmith(twin).check()
        assert (lines[-1].name, lines[-1].ok) == ("key", False)
        assert langsmith(twin, workspace=WORKSPACE).send(units).outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"throttle": 1, "retry_after": "30"}, Outcome.RETRY),
        ({"fail": 1}, Outcome.RETRY),
        ({"hang_up_after": 1}, Outcome.RETRY),
        ({"max_bytes": 10}, Outcome.TOO_LARGE),
    ],
)
def test_faults_are_told_apart(fault: dict[str, object], outcome: Outcome) -> None:
    with LangSmithTwin() as twin:
        destination = langsmith(twin)
        for name, value in fault.items():
            setattr(twin.faults, name, value)
        assert destination.send([unit(destination, traces.one_call())]).outcome is outcome


def test_check_names_the_version_and_whether_the_project_is_there_and_leaves_nothing_behind() -> None:
    with LangSmithTwin() as twin:
        destination = langsmith(twin)
        lines = destination.check()
        assert [(line.name, line.ok) for line in lines] == [("address", True), ("key", True)]
        assert "0.13.7" in lines[0].seen
        assert "will be made" in lines[1].seen
        assert twin.runs == {}
        destination.send([unit(destination, traces.one_call())])
        assert destination.check()[1].seen == "project dify"


def test_check_says_how_to_mend_a_wrong_key_without_showing_it() -> None:
    with LangSmithTwin() as twin:
        lines = langsmith(twin, api_key="lsv2_wrong_one").check()
        assert [(line.name, line.ok) for line in lines] == [("address", True), ("key", False)]
        assert lines[1].hint
        assert "wrong_one" not in repr(lines)


def test_one_trace_goes_in_a_request_at_a_pace_that_langsmith_allows() -> None:
    limits = langsmith("http://127.0.0.1:1").limits
    assert (limits.traces_per_request, limits.requests_per_second) == (1, 25.0)
    assert langsmith("http://127.0.0.1:1", requests_per_second=2).limits.requests_per_second == 2
    assert langsmith("http://127.0.0.1:1").confirmation is Confirmation.READ_BACK
    assert langsmith("http://127.0.0.1:1").link("ab" * 16) is None


@pytest.mark.parametrize("suffix", ["", "/", "/otel", "/otel/v1/traces"])
def test_pasted_addresses_work(suffix: str) -> None:
    with LangSmithTwin() as twin:
        destination = langsmith(twin.url + suffix)
        assert destination.send([unit(destination, traces.one_call())]).outcome is Outcome.ACCEPTED


def test_a_pending_trace_is_sent_without_a_verdict_tag_that_could_never_change() -> None:
    with LangSmithTwin() as twin:
        destination = langsmith(twin)
        pending = replace(traces.one_call(), verdict=Verdict.PENDING)
        destination.send([unit(destination, pending)])
        tags = [tag for run in twin.runs.values() for tag in run["tags"]]
        assert tags == ["Support bot", "advanced-chat"]
