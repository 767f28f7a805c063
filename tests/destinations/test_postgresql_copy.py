"""The copy of the ledger's calls in a real PostgreSQL: each call once, as `calls --json` lists it, whatever happens between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError

from exporter import calls
from exporter.config import ContentSettings, DestinationSettings
from exporter.demo.database import dify_database
from exporter.destinations.base import Outcome
from exporter.destinations.postgresql import PostgresqlCopy
from exporter.documents import call_document
from exporter.model import AssessedTrace, Tokens
from exporter.state import ledger
from tests.destinations.destination_units import RESOURCE, unit
from tests.destinations.recorded_run import deliver, recorded_app
from tests.spans import assessed_traces as traces

TRACES = [
    traces.chatflow(1000),
    traces.one_call(3000, vendor=None),
    traces.one_call(4000, vendor=None, dify=None),
]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with dify_database() as url:
        yield url


@pytest.fixture
def url(server: str) -> str:
    """An empty database."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS copy WITH (FORCE)")
        connection.execute("CREATE DATABASE copy")
    return server.replace("/postgres?", "/copy?")


def copy(url: str, **changes: Any) -> PostgresqlCopy:
    return PostgresqlCopy(
        DestinationSettings(**{"kind": "postgresql", "url": url, **changes}), ContentSettings(), RESOURCE
    )


def held(url: str, what: str = "document", table: str = "dify_exporter_calls") -> list[Any]:
    with psycopg.connect(url) as connection:
        return [
            row[0] for row in connection.execute(f"SELECT {what} FROM {table} ORDER BY started_at, call_id")
        ]


def listed(of: list[AssessedTrace]) -> list[dict[str, Any]]:
    found = [call_document(item.trace, one) for item in of for one in item.assessments]
    return sorted(found, key=lambda call: (call["started_at"], call["call_id"]))


def test_every_call_is_there_as_it_is_listed_and_sending_twice_changes_nothing(url: str) -> None:
    to = copy(url)
    units = [unit(to, item, number) for number, item in enumerate(TRACES, 1)]
    assert to.send(units).outcome is Outcome.ACCEPTED
    assert held(url) == listed(TRACES)
    assert copy(url).send(units).outcome is Outcome.ACCEPTED
    assert held(url) == listed(TRACES)


def test_sums_can_be_asked_for_with_sql(url: str) -> None:
    to = copy(url)
    to.send([unit(to, item) for item in TRACES])
    known = [
        one.vendor.tokens
        for item in TRACES
        for one in item.assessments
        if one.vendor and one.vendor.independent
    ]
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT sum(vendor_input), sum(vendor_output), min(started_at) FROM dify_exporter_calls"
        ).fetchone()
    assert row is not None
    assert row[:2] == (sum(item.input or 0 for item in known), sum(item.output or 0 for item in known))
    assert row[2].tzinfo is not None


def test_a_correction_replaces_and_takes_away_and_an_older_one_comes_too_late(url: str) -> None:
    first = traces.chatflow(1000)
    one, *others = first.assessments
    corrected = replace(
        first, assessments=(replace(one, vendor=traces.vendor(tokens=Tokens(1, 2))), *others[:-1])
    )
    to = copy(url)
    to.send([unit(to, first, revision=1)])
    to.send([unit(to, corrected, revision=2)])
    assert held(url) == listed([corrected])
    to.send([unit(to, first, revision=1)])
    assert [call for call in held(url) if call["call_id"] == one.call.call_id] == [
        call for call in listed([corrected]) if call["call_id"] == one.call.call_id
    ]


def test_a_table_in_a_schema_is_made_there(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SCHEMA finops")
    to = copy(url, table="finops.calls")
    assert to.send([unit(to, TRACES[0])]).outcome is Outcome.ACCEPTED
    assert held(url, table="finops.calls") == listed(TRACES[:1])
    (checked,) = to.check()
    assert checked.ok
    assert f"{len(listed(TRACES[:1]))} calls" in checked.seen


def test_who_may_not_write_is_told_so_and_the_queue_waits(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "DO $$ BEGIN CREATE ROLE looker LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
    to = copy(url.replace("postgres@", "looker@"))
    answer = to.send([unit(to, TRACES[0])])
    assert (answer.outcome, "grant" in answer.reason) == (Outcome.HOLD, True)
    (checked,) = to.check()
    assert (checked.ok, "grant" in (checked.hint or "")) == (False, True)


def test_a_missing_database_is_told_and_a_server_that_is_away_is_tried_again(
    url: str, tmp_path: Path
) -> None:
    elsewhere = copy(url.replace("/copy?", "/nowhere?"))
    answer = elsewhere.send([unit(elsewhere, TRACES[0])])
    assert (answer.outcome, "does not exist" in answer.reason) == (Outcome.RETRY, True)
    away = copy(f"postgresql://me:SECRET@/copy?host={tmp_path}", timeout="2s")
    answer = away.send([unit(away, TRACES[0])])
    assert answer.outcome is Outcome.RETRY
    assert "SECRET" not in answer.reason + str(away.check())


def test_a_connection_that_the_server_closed_is_opened_again(url: str, server: str) -> None:
    to = copy(url)
    to.send([unit(to, TRACES[0])])
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dify-exporter'"
        )
    assert to.send([unit(to, TRACES[1])]).outcome is Outcome.RETRY
    assert to.send([unit(to, TRACES[1])]).outcome is Outcome.ACCEPTED
    assert len(held(url)) == len(listed(TRACES[:2]))


def test_an_address_is_needed() -> None:
    with pytest.raises(ValidationError, match="postgresql needs url"):
        DestinationSettings(kind="postgresql")  # type: ignore[call-arg]


def test_the_whole_recording_is_in_the_table(shared: Path, tmp_path: Path, url: str) -> None:
    with recorded_app(shared, tmp_path, [{"kind": "postgresql", "url": url}]) as app:
        deliver(app)
        with app.store.read() as connection:
            found = [
                json.loads(text)
                for text in calls.listing(connection, ledger.CallFilter(), app.settings.compare)
            ]
    of_traces = [call for call in found if call["trace_id"] is not None]
    by_id = {call["call_id"]: call for call in held(url)}
    assert by_id == {call["call_id"]: call for call in of_traces}


def test_who_may_only_read_the_table_is_told_so_by_check(url: str) -> None:
    writer = copy(url)
    writer.send([unit(writer, TRACES[0])])
    with psycopg.connect(url) as connection:
        connection.execute(
            "DO $$ BEGIN CREATE ROLE viewer LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
        connection.execute("GRANT SELECT ON dify_exporter_calls TO viewer")
    (checked,) = copy(url.replace("postgres@", "viewer@")).check()
    assert (checked.ok, "may only read" in checked.seen) == (False, True)
