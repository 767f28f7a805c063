"""Scores reach a Langfuse of any mode and age by the door that is open, and a crash after the acknowledgement doubles nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from exporter.destinations.delivery import Courier
from exporter.model import Verdict
from exporter.spans.scores import COST, NAMES, UNEXPLAINED, VERDICT, score_id
from tests.contract.langfuse_twin import PUBLIC_KEY, SECRET_KEY, LangfuseTwin
from tests.destinations.scores_bench import HOUR, Bench, bench
from tests.spans.assessed_traces import START, one_call, vendor

ROOT = Path(__file__).parents[2]
KEYS = {"kind": "langfuse", "public_key": PUBLIC_KEY, "secret_key": SECRET_KEY}
MODES = ("legacy", "dual", "events_only")
DOORS = ("4.16", "newer", "scores only by array", "no ingestion")
EARLY: dict[str, Any] = {
    "vendor": None, "findings": (), "unexplained_input": None, "unexplained_output": None, "verdict": Verdict.PENDING,
}  # fmt: skip


@contextmanager
def server(mode: str, doors: str) -> Iterator[LangfuseTwin]:
    with LangfuseTwin(mode) as twin:
        twin.scores.takes_arrays = doors != "4.16"
        twin.scores.takes_events = doors in ("4.16", "newer")
        twin.has_ingestion = doors != "no ingestion"
        yield twin


def killed_after_the_acknowledgement(at: Bench, courier: Courier) -> None:
    """One request of a process that the platform answered, and that died before it noted the answer."""
    settings = json.dumps({**KEYS, "endpoint": at.twin.url, "confirm_after": "2s"})
    name = courier.destination.name
    done = subprocess.run(
        [sys.executable, "-m", "tests.destinations.killed_courier", at.folder / "s.db", settings, name],
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL
    backlog = at.backlog(courier)
    assert backlog is not None
    assert (backlog.in_doubt, backlog.ready, backlog.acked) == (1, 0, 0)


@pytest.mark.parametrize("is_later_evidence", [False, True], ids=["as it was", "later evidence"])
@pytest.mark.parametrize("doors", DOORS)
@pytest.mark.parametrize("mode", MODES)
def test_a_resend_after_a_kill_leaves_one_span_and_one_score_each(
    mode: str, doors: str, is_later_evidence: bool, tmp_path: Path
) -> None:
    late = one_call(1, vendor=vendor(340, 42), unexplained_input=100, verdict=Verdict.UNEXPLAINED)
    first, last = (one_call(1, **EARLY), late) if is_later_evidence else (late, late)
    with server(mode, doors) as twin, bench(twin, tmp_path, **KEYS) as at:
        at.queue([first])
        for courier in (at.spans, at.scores):
            killed_after_the_acknowledgement(at, courier)
        acknowledged = dict(twin.arrivals)
        assert set(acknowledged.values()) == {1}
        if is_later_evidence:
            at.queue([last], revision=2)
        at.deliver(START + HOUR, at.again(at.spans), at.again(at.scores))
        assert set(twin.arrivals.values()) == {2}
        assert set(twin.counts().values()) == {1}
        assert len(twin.counts()) == 2
        assert sorted(row["name"] for row in twin.scores.rows.values()) == sorted(NAMES)
        shown = twin.scores.of_trace(last.trace.trace_id)
        assert (shown[VERDICT], shown[UNEXPLAINED]) == ("unexplained", 100)
        (usage,) = (row["usageDetails"] for row in twin.rows() if row["usageDetails"])
        assert (usage["total"], usage["vendor"]) == (382, 382)
        assert twin.violations == []
        assert at.backlog(at.spans) is None
        assert at.backlog(at.scores) is None


@pytest.mark.parametrize("doors", DOORS)
def test_a_refused_score_is_set_aside_alone_by_either_door(doors: str, tmp_path: Path) -> None:
    sent = [one_call(10 * number + 1) for number in range(9)]
    with server("events_only", doors) as twin, bench(twin, tmp_path, **KEYS) as at:
        twin.scores.poison = {score_id(sent[4].trace.trace_id, COST)}
        at.queue(sent, only=at.scores.destination.name)
        at.deliver(START + HOUR, at.scores)
        backlog = at.backlog(at.scores)
        assert backlog is not None
        assert (backlog.dead, backlog.ready, backlog.in_doubt, backlog.acked) == (1, 0, 0, 0)
        assert len(twin.scores.rows) == 9 * len(NAMES) - 1


@pytest.mark.parametrize("fault", ["throttle", "fail", "hang_up", "hang_up_after"])
def test_a_server_with_one_door_that_fails_for_a_while_gets_every_score_once(
    fault: str, tmp_path: Path
) -> None:
    with server("events_only", "scores only by array") as twin, bench(twin, tmp_path, **KEYS) as at:
        setattr(twin.faults, fault, 3)
        at.queue([one_call(10 * number + 1) for number in range(12)], only=at.scores.destination.name)
        at.deliver(START + HOUR, at.scores)
        assert len(twin.scores.rows) == 12 * len(NAMES)
        assert at.backlog(at.scores) is None
        assert twin.violations == []


def test_a_server_that_opens_its_first_door_again_is_served_by_it(tmp_path: Path) -> None:
    with server("dual", "scores only by array") as twin, bench(twin, tmp_path, **KEYS) as at:
        at.queue([one_call(1)], only=at.scores.destination.name)
        at.deliver(START + HOUR, at.scores)
        twin.scores.takes_arrays, twin.scores.takes_events = False, True
        at.queue([one_call(11)], only=at.scores.destination.name)
        at.deliver(at.clock.now + HOUR, at.scores)
        assert len(twin.scores.rows) == 2 * len(NAMES)
        assert set(twin.scores.arrivals.values()) == {1}


def test_where_both_doors_are_closed_the_scores_wait_or_are_set_aside_and_no_span_does(
    tmp_path: Path,
) -> None:
    with server("events_only", "no ingestion") as twin, bench(twin, tmp_path, **KEYS) as at:
        twin.scores.takes_arrays = False
        at.queue([one_call(1)])
        at.deliver(START + HOUR)
        assert at.backlog(at.spans) is None
        backlog = at.backlog(at.scores)
        assert backlog is not None
        assert backlog.acked == backlog.dead == 0
        assert "HTTP 40" in (at.delivery(at.scores).hold or "")
