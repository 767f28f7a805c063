from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from exporter import problems
from exporter.config import DestinationSettings, StateSettings
from exporter.destinations.base import Unit
from exporter.model import RecordKind, RecordRef
from exporter.state import health, outbox, pressure, records
from exporter.state.outbox import Parcel
from exporter.state.store import Store
from exporter.web.readiness import Live, Readiness, assess
from tests.web.conftest import Serve
from tests.web.traces_by_hand import NOON, SECOND, build_trace, keep

MINUTE = 60 * SECOND
LIVE = Live(now=NOON, started_at=NOON - 60 * MINUTE, poll_interval_seconds=5.0)


@pytest.fixture
def reading(store: Store) -> Store:
    """A state file of an exporter that read Dify three seconds ago."""
    with store.transaction("test") as connection:
        health.succeeded(connection, "poll", NOON - 3 * SECOND)
    return store


def queue(store: Store, destination: str, count: int, size_bytes: int = 10) -> list[Unit]:
    parcels = [
        Parcel(destination, f"{number:032x}", 1, b"x" * size_bytes, 2, NOON, NOON) for number in range(count)
    ]
    with store.transaction("test") as connection:
        outbox.put(connection, parcels, NOON)
        return outbox.take(connection, destination, NOON, count)


def only_problem(readiness: Readiness) -> str:
    assert not readiness.is_ready
    assert len(readiness.problems) == 1, readiness.problems
    return readiness.problems[0]


def test_an_exporter_that_reads_and_delivers_is_ready(reading: Store) -> None:
    with reading.transaction("test") as connection:
        health.delivered(connection, "langfuse", NOON, traces=1, spans=3, requests=1)
    assert assess(reading, LIVE) == Readiness(read_at=NOON - 3 * SECOND, lag_seconds=0.0)


def test_just_started_is_not_ready_until_the_first_look(store: Store) -> None:
    readiness = assess(store, replace(LIVE, started_at=NOON - SECOND))
    assert "was not read yet" in only_problem(readiness)
    assert readiness.lag_seconds is None


def test_a_source_that_cannot_be_reached_is_not_ready_and_says_why_and_what_to_do(reading: Store) -> None:
    with reading.transaction("test") as connection:
        health.failed(connection, "poll", NOON - SECOND, "connection to db:5432 refused")
    readiness = assess(reading, LIVE)
    problem = only_problem(readiness)
    assert "Connection to db:5432 refused." in problem
    assert "`dify-exporter check`" in problem
    assert not readiness.is_reading
    assert readiness.lag_seconds == 3.0, "everything since the last look may be missing"


def test_a_source_that_answers_again_is_ready_again(reading: Store) -> None:
    with reading.transaction("test") as connection:
        health.failed(connection, "poll", NOON - 2 * SECOND, "refused")
        health.succeeded(connection, "poll", NOON - SECOND)
    assert assess(reading, LIVE).is_ready


@pytest.mark.parametrize(("interval_seconds", "quiet_minutes"), [(5.0, 2), (60.0, 10)])
def test_a_reader_that_went_quiet_is_not_ready(
    reading: Store, interval_seconds: float, quiet_minutes: int
) -> None:
    live = replace(LIVE, poll_interval_seconds=interval_seconds)
    last = NOON - 3 * SECOND
    assert assess(reading, replace(live, now=last + quiet_minutes * MINUTE)).is_ready
    late = assess(reading, replace(live, now=last + quiet_minutes * MINUTE + SECOND))
    assert f"was not read for {quiet_minutes} min 01 s" in only_problem(late)


def test_a_first_look_at_a_long_history_is_reading_as_long_as_it_gets_on(store: Store) -> None:
    busy = replace(LIVE, active_at=NOON - SECOND)
    assert assess(store, busy).is_ready
    stuck = replace(LIVE, active_at=NOON - 10 * MINUTE)
    assert "was not read for 10 min 00 s" in only_problem(assess(store, stuck))


def test_what_an_earlier_process_met_says_nothing_of_this_one(store: Store) -> None:
    with store.transaction("test") as connection:
        health.succeeded(connection, "poll", NOON - 9 * MINUTE)
        health.failed(connection, "poll", NOON - 8 * MINUTE, "connection refused")
    readiness = assess(store, replace(LIVE, started_at=NOON - SECOND))
    assert "has just started" in only_problem(readiness)
    assert readiness.lag_seconds == 9 * 60.0, "nothing newer than that look is known to be read"


def test_a_reader_that_never_came_to_an_end_is_not_ready(store: Store) -> None:
    assert "was not read for 1 h 00 min" in only_problem(assess(store, LIVE))


def test_a_full_backlog_stops_reading_and_is_not_ready(reading: Store) -> None:
    queue(reading, "langfuse", 1, size_bytes=3 * 2**20)
    stopped = pressure.problem(reading, StateSettings(max_backlog="2MiB", min_free_disk="0B"))
    readiness = assess(reading, replace(LIVE, stopped=stopped))
    assert only_problem(readiness).startswith("Reading Dify is stopped: 3 MiB wait to be sent")
    assert not readiness.is_reading


def test_a_full_disk_stops_reading_and_is_not_ready(reading: Store) -> None:
    stopped = pressure.problem(reading, StateSettings(min_free_disk="1000000GiB"))
    problem = only_problem(assess(reading, replace(LIVE, stopped=stopped)))
    assert "free where the state lies" in problem
    assert problem.endswith("free some space.")


def test_a_destination_on_hold_is_not_ready_although_reading_goes_on(reading: Store) -> None:
    queue(reading, "langfuse", 2)
    with reading.transaction("test") as connection:
        health.undelivered(connection, "langfuse", NOON, "HTTP 401: the keys are not accepted", hold=True)
    readiness = assess(reading, LIVE)
    problem = only_problem(readiness)
    assert "Destination langfuse is on hold: HTTP 401: the keys are not accepted." in problem
    assert "2 traces wait for it and nothing is dropped" in problem
    assert readiness.is_reading


def test_a_destination_that_does_not_answer_is_only_a_warning(reading: Store) -> None:
    queue(reading, "otlp", 1)
    with reading.transaction("test") as connection:
        health.undelivered(connection, "otlp", NOON, "connection refused")
    readiness = assess(reading, LIVE)
    assert readiness.is_ready
    (warning,) = readiness.warnings
    assert "Destination otlp does not answer: Connection refused." in warning
    assert "until the backlog is full; 1 trace waits for it" in warning


def test_dead_letters_and_records_set_aside_are_warnings(reading: Store) -> None:
    units = queue(reading, "langfuse", 3)
    ref = RecordRef(RecordKind.RUN, "run-1", NOON)
    with reading.transaction("test") as connection:
        for unit in units[:2]:
            outbox.bury(connection, unit, "HTTP 400")
        records.meet(connection, [ref], NOON)
        records.settle(connection, [records.Outcome(ref, "set_aside", "broken")])
    readiness = assess(reading, LIVE)
    assert readiness.is_ready
    assert [warning.split(",")[0] for warning in readiness.warnings] == [
        "Dead letters for langfuse: 2",
        "Dify records that no trace could be made of: 1",
    ]


def test_records_that_wait_to_be_read_are_the_lag(reading: Store) -> None:
    with reading.transaction("test") as connection:
        records.meet(connection, [RecordRef(RecordKind.RUN, "run-1", NOON)], NOON - 90 * SECOND)
    assert assess(reading, LIVE).lag_seconds == 90.0


def broken(path: Path) -> None:
    """Something else wrote over the file."""
    for part in (path, path.with_name(path.name + "-wal")):
        part.write_bytes(b"\x07" * max(8192, part.stat().st_size))


def test_a_damaged_state_file_is_not_ready_and_says_what_to_do(reading: Store) -> None:
    broken(reading.path)
    problem = only_problem(assess(reading, LIVE))
    assert "is damaged" in problem
    assert "Restore it from a backup" in problem


def test_readyz_answers_200_or_503_with_the_reasons(serve: Serve) -> None:
    ready = serve(lambda: Readiness(warnings=("Look at this.",), lag_seconds=1.5)).get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {
        "ready": True, "problems": [], "warnings": ["Look at this."], "reading": True, "lag_seconds": 1.5,
    }  # fmt: skip
    stopped = serve(lambda: Readiness(("Reading is stopped. Free some space.",), is_reading=False)).get(
        "/readyz"
    )
    assert stopped.status_code == 503
    assert stopped.json()["problems"] == ["Reading is stopped. Free some space."]


def test_a_damaged_state_file_leaves_healthz_alive_and_the_rest_plain(store: Store, serve: Serve) -> None:
    keep(store, build_trace(1))
    site = serve(lambda: assess(store, LIVE))
    broken(store.path)
    assert site.get("/healthz").text == "ok\n"
    assert site.get("/readyz").status_code == 503
    assert "is damaged" in site.get("/readyz").json()["problems"][0]
    for path in ("/", "/status", f"/traces/{build_trace(1).trace.trace_id}", "/metrics", "/api/traces"):
        answer = site.get(path)
        assert answer.status_code == 503, path
        assert "is damaged" in answer.text
        assert "Traceback" not in answer.text


def test_tokens_that_are_counted_twice_are_a_warning(reading: Store) -> None:
    with reading.transaction("test") as connection:
        health.remember(connection, f"{problems.TWICE}langfuse", '["Support", "Search"]')
    langfuse = DestinationSettings(kind="langfuse", public_key="pk", secret_key="sk")  # type: ignore[arg-type, call-arg]
    (warning,) = assess(reading, replace(LIVE, destinations=[langfuse])).warnings
    assert "2 apps (Support, Search)" in warning
    assert assess(reading, LIVE).is_ready
