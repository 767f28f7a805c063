"""Langfuse, end to end against the twin in its three modes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.destinations.base import Confirmation, Outcome
from exporter.model import Tokens, Verdict
from exporter.spans import otlp
from tests.contract.langfuse_twin import LangfuseTwin
from tests.destinations.destination_units import langfuse, unit
from tests.spans import assessed_traces as traces

MODES = ("legacy", "dual", "events_only")


@pytest.mark.parametrize("mode", MODES)
def test_every_span_is_held_once_and_no_rule_is_broken(mode: str) -> None:
    with LangfuseTwin(mode) as twin:
        destination = langfuse(twin)
        units = [unit(destination, traces.chatflow(1000 * number), number) for number in (1, 2, 3)]
        assert destination.send(units).outcome is Outcome.ACCEPTED
        assert destination.missing(units) == set()
        assert set(twin.counts().values()) == {1}
        assert len(twin.counts()) == 36
        assert twin.requests == 1
        assert twin.violations == []


@pytest.mark.parametrize("mode", MODES)
def test_a_resend_changes_nothing(mode: str) -> None:
    with LangfuseTwin(mode) as twin:
        destination = langfuse(twin)
        units = [unit(destination, traces.chatflow())]
        destination.send(units)
        before = twin.rows()
        destination.send(units)
        assert [{**row, "visible_at": 0} for row in twin.rows()] == [
            {**row, "visible_at": 0} for row in before
        ]
        assert twin.violations == []


@pytest.mark.parametrize("mode", MODES)
def test_a_correction_replaces_the_numbers_in_place(mode: str) -> None:
    with LangfuseTwin(mode) as twin:
        destination = langfuse(twin)
        first = replace(
            traces.one_call(vendor=None, findings=(), verdict=Verdict.PENDING), verdict=Verdict.PENDING
        )
        destination.send([unit(destination, first)])
        corrected = [unit(destination, traces.one_call(), revision=1)]
        assert destination.missing(corrected) == {1}
        destination.send(corrected)
        assert destination.missing(corrected) == set()
        usage = [row["usageDetails"] for row in twin.rows() if row["usageDetails"]]
        assert [(item["total"], item["vendor"], item["dify"]) for item in usage] == [(282, 282, 150)]
        assert twin.violations == []
        assert destination.corrects


@pytest.mark.parametrize("mode", MODES)
def test_what_was_acknowledged_and_lost_is_found_missing_and_comes_back(mode: str) -> None:
    with LangfuseTwin(mode) as twin:
        destination = langfuse(twin)
        units = [unit(destination, traces.chatflow(1000 * number), number) for number in (1, 2)]
        twin.faults.lose_spans = 5
        assert destination.send(units).outcome is Outcome.ACCEPTED
        assert destination.missing(units) == {1}
        destination.send(units[:1])
        assert destination.missing(units) == set()
        assert set(twin.counts().values()) == {1}


def test_what_is_not_visible_yet_is_missing_for_now() -> None:
    with LangfuseTwin(delay=3600) as twin:
        destination = langfuse(twin)
        units = [unit(destination, traces.chatflow())]
        destination.send(units)
        assert destination.missing(units) == {1}
        twin.settle()
        assert destination.missing(units) == set()


def test_a_dual_server_shows_spans_at_once_because_of_the_header() -> None:
    with LangfuseTwin("dual") as twin:
        destination = langfuse(twin)
        destination.send([unit(destination, traces.one_call())])
        assert destination.missing([unit(destination, traces.one_call())]) == set()
        assert twin.violations == []


def test_traces_of_many_days_are_asked_for_in_few_windows_and_all_found() -> None:
    with LangfuseTwin() as twin:
        destination = langfuse(twin)
        day = 86_400
        numbers = [number * day + minute * 60 for number in (1, 2, 9) for minute in range(5)]
        units = [unit(destination, traces.one_call(number), number) for number in numbers]
        destination.send(units)
        lost = unit(destination, traces.one_call(9 * day + 600), 1)
        assert destination.missing([*units, lost]) == {1}
        which_kind_of_server, windows = 1, 3
        assert twin.reads == which_kind_of_server + windows


def test_traces_of_the_same_minutes_are_asked_for_at_once() -> None:
    with LangfuseTwin() as twin:
        destination = langfuse(twin)
        units = [unit(destination, traces.one_call(1000 + number * 3), number) for number in range(60)]
        destination.send(units)
        assert destination.missing(units) == set()
        which_kind_of_server, one_window = 1, 1
        assert twin.reads == which_kind_of_server + one_window


def test_a_trace_longer_than_a_window_is_asked_for_by_its_id() -> None:
    with LangfuseTwin() as twin:
        destination = langfuse(twin)
        root = traces.step(1)
        late = traces.step(100_000, parent=root.span_id)
        paused = traces.AssessedTrace(traces.trace(1, (root, late)), (), Verdict.UNVERIFIED)
        units = [unit(destination, paused)]
        assert destination.missing(units) == {1}
        destination.send(units)
        assert destination.missing(units) == set()


def test_a_page_full_of_other_spans_is_read_on() -> None:
    with LangfuseTwin() as twin:
        destination = langfuse(twin)
        mine = [unit(destination, traces.chatflow(2000))]
        destination.send(mine)
        root = traces.step(2011)
        for number in range(3):
            steps = tuple(
                replace(root, span_id=f"{number:08x}{place:08x}", parent_id=None, kind=traces.StepKind.NODE)
                for place in range(1, 501)
            )
            other = traces.AssessedTrace(
                replace(traces.trace(7000 + number, steps), trace_id=f"{number + 1:032x}"),
                (),
                Verdict.UNVERIFIED,
            )
            destination.send([unit(destination, other)])
        assert len(twin.rows()) == 1512
        assert destination.missing(mine) == set()
        which_kind_of_server, pages = 1, 2
        assert twin.reads == which_kind_of_server + pages


def test_reading_back_is_no_answer_while_reads_are_limited() -> None:
    with LangfuseTwin() as twin:
        destination = langfuse(twin)
        units = [unit(destination, traces.one_call())]
        destination.send(units)
        twin.faults.no_reads = 1
        assert destination.missing(units) is None
        assert destination.missing(units) == set()


def test_a_server_that_is_down_is_retried_and_cannot_be_asked() -> None:
    twin = LangfuseTwin().up()
    destination = langfuse(twin)
    units = [unit(destination, traces.one_call())]
    twin.down()
    answer = destination.send(units)
    assert answer.outcome is Outcome.RETRY
    assert "connection refused" in answer.reason
    assert destination.missing(units) is None
    twin.up()
    assert destination.send(units).outcome is Outcome.ACCEPTED
    twin.down()


def test_a_migrated_server_is_noticed_and_nothing_counts_as_lost_by_it() -> None:
    with LangfuseTwin("dual") as twin:
        destination = langfuse(twin)
        units = [unit(destination, traces.one_call())]
        destination.send(units)
        twin.mode = "legacy"
        assert destination.missing(units) == set()
        twin.mode = "events_only"
        assert destination.missing(units) == set()
        twin.mode = "legacy"
        assert destination.missing(units) is None
        assert destination.missing(units) == set()


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"throttle": 1, "retry_after": "7"}, Outcome.RETRY),
        ({"fail": 1}, Outcome.RETRY),
        ({"hang_up": 1}, Outcome.RETRY),
        ({"hang_up_after": 1}, Outcome.RETRY),
        ({"redirect": 1}, Outcome.HOLD),
        ({"max_bytes": 100}, Outcome.TOO_LARGE),
    ],
)
def test_faults_are_told_apart(fault: dict[str, object], outcome: Outcome) -> None:
    with LangfuseTwin() as twin:
        destination = langfuse(twin)
        units = [unit(destination, traces.chatflow())]
        for name, value in fault.items():
            setattr(twin.faults, name, value)
        answer = destination.send(units)
        assert answer.outcome is outcome
        if "throttle" in fault:
            assert answer.retry_after == 7.0
        stored = "hang_up_after" in fault
        assert (destination.missing(units) == set()) is stored


def test_one_poisoned_span_condemns_its_request_and_nothing_of_it_is_quoted() -> None:
    with LangfuseTwin() as twin:
        destination = langfuse(twin)
        units = [unit(destination, traces.chatflow())]
        twin.faults.poison = [otlp.parse(otlp.split(units[0].spans)[3]).span_id.hex()]
        answer = destination.send(units)
        assert answer.outcome is Outcome.REFUSED
        assert "prompt" not in answer.reason
        assert twin.rows() == []
        good = [span for place, span in enumerate(otlp.split(units[0].spans)) if place != 3]
        rest = replace(units[0], spans=otlp.frame(good), span_count=len(good))
        assert destination.send([rest]).outcome is Outcome.ACCEPTED
        assert len(twin.rows()) == 11


@pytest.mark.parametrize(
    ("mode", "version", "follows"),
    [
        ("legacy", "3.170.0", "as version 3 does"),
        ("dual", "4.16.0", "after about ten minutes"),
        ("events_only", "4.16.0", "refuses what Dify's own Langfuse tracing sends"),
    ],
)
def test_check_names_version_project_and_mode_with_what_follows_and_leaves_nothing_behind(
    mode: str, version: str, follows: str
) -> None:
    with LangfuseTwin(mode) as twin:
        destination = langfuse(twin)
        lines = destination.check()
        assert [(line.name, line.ok) for line in lines] == [
            ("address", True),
            ("keys", True),
            ("read-back", True),
            ("sending", True),
        ]
        assert version in lines[0].seen
        assert "twin-project" in lines[1].seen
        assert lines[2].seen.startswith(f"write mode {mode}: ")
        assert follows in lines[2].seen
        assert lines[2].seen.count(". ") == 0
        assert twin.rows() == []
        assert destination.link("ab" * 16) == f"{twin.url}/project/twin-project/traces/{'ab' * 16}"


def test_check_says_how_to_mend_wrong_keys_without_showing_them() -> None:
    with LangfuseTwin() as twin:
        lines = langfuse(twin, secret_key="sk-lf-wrong-one").check()
        assert [(line.name, line.ok) for line in lines] == [("address", True), ("keys", False)]
        assert "401" in lines[1].seen
        assert lines[1].hint
        assert "wrong-one" not in repr(lines)


def test_check_says_that_an_address_is_no_langfuse() -> None:
    twin = LangfuseTwin().up()
    url = twin.url
    twin.down()
    lines = langfuse(url).check()
    assert [(line.name, line.ok) for line in lines] == [("address", False)]
    assert lines[0].hint


def test_wrong_keys_hold_the_destination() -> None:
    with LangfuseTwin() as twin:
        destination = langfuse(twin, public_key="pk-lf-other")
        answer = destination.send([unit(destination, traces.one_call())])
        assert answer.outcome is Outcome.HOLD
        assert destination.missing([unit(destination, traces.one_call())]) is None


@pytest.mark.parametrize("suffix", ["", "/", "/api/public/otel", "/api/public/otel/v1/traces"])
def test_pasted_addresses_work(suffix: str) -> None:
    with LangfuseTwin() as twin:
        destination = langfuse(twin.url + suffix)
        assert destination.send([unit(destination, traces.one_call())]).outcome is Outcome.ACCEPTED


def test_confirmation_is_read_back_unless_the_operator_says_otherwise() -> None:
    assert langfuse("http://127.0.0.1:1").confirmation is Confirmation.READ_BACK
    assert langfuse("http://127.0.0.1:1", confirm="age").confirmation is Confirmation.AGE
    assert langfuse("http://127.0.0.1:1").link("ab" * 16) is None


def test_a_lone_total_survives_a_correction_check() -> None:
    with LangfuseTwin() as twin:
        destination = langfuse(twin)
        lone = traces.one_call(
            dify=traces.dify(tokens=Tokens(), total=9), local=None, vendor=None, findings=()
        )
        units = [unit(destination, lone, revision=2)]
        destination.send(units)
        assert destination.missing(units) == set()
        assert twin.violations == []
