"""The ledger made from Dify on MySQL is the one made from Dify on PostgreSQL, call by call, except what is named here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dify_tables import new_id
from ledgers import differing, seconds
from release_manners import write
from release_shapes import VERSIONS, Writer, build

from exporter import calls, config
from exporter.daemon import App
from exporter.sources.versions import PROBED_TABLES, numbers
from exporter.state import ledger
from tests.conftest import RecordedDify
from tests.contract.mariadb_server import MariadbServer
from tests.contract.mysql_copy import copy
from tests.sources.console.restored import restored

Document = dict[str, Any]

TIMES = {"started_at", "ended_at"}
"""Named difference 1: whole seconds."""

ROUND_PRICES = {"readings.dify.unit_prices", "readings.dify.cost", "readings.dify.currency"}
"""2: prices of an agent app's rounds, which Dify's tables hold as whole units of money on MySQL."""

CASES = (
    ("bundled", 0), ("bundled", 8), ("1.12.1", 0), ("1.12.1", 8), ("1.14.0", 0), ("1.14.0", 8),
    *((f"shape {version}", 0) for version in VERSIONS if numbers(version) >= (1, 10, 1)),
)  # fmt: skip
"""The bundled recording, the whole ones where they are, and every release that runs on MySQL filled in its manner; some of them
on a server set to +08:00."""


@dataclass
class Ledger:
    """What a run left."""

    described: dict[str, str]
    calls: dict[str, Document]
    traces: dict[str, Document]


@dataclass
class Both:
    """One Dify on both kinds of database."""

    hours: int
    postgresql: Ledger
    mysql: Ledger


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]} at +{case[1]}")
def both(request: pytest.FixtureRequest, mysql: MariadbServer, tmp_path_factory: Any) -> Iterator[Both]:
    name, hours = request.param
    folder = tmp_path_factory.mktemp("both")
    if name == "bundled":
        recorded: RecordedDify = request.getfixturevalue("recorded_dify")
        yield read_both(recorded.url, mysql, hours, folder)
    elif name.startswith("shape "):
        server, version = request.getfixturevalue("server"), name.removeprefix("shape ")
        shape = request.getfixturevalue("shapes")[version]
        database = server.create(f"mysql_{new_id()[:8]}")
        with psycopg.connect(server.dsn(database)) as connection:
            build(connection, shape, frozenset(PROBED_TABLES))
            write(Writer(connection, shape), numbers(version))
        yield read_both(server.url(database), mysql, hours, folder)
        server.drop(database)
    else:
        with restored(request.getfixturevalue("shared"), name) as url:
            yield read_both(url, mysql, hours, folder)


def read_both(url: str, mysql: MariadbServer, hours: int, folder: Path) -> Both:
    database = mysql.create(f"both_{new_id()[:8]}")
    with psycopg.connect(url) as source, mysql.connect(database) as target:
        copy(source, target, hours)
    mysql.run(f"SET GLOBAL time_zone = '+0{hours}:00'")
    try:
        by_mysql = exported(mysql.url(database), folder / "mysql.db")
    finally:
        mysql.run("SET GLOBAL time_zone = '+00:00'", f"DROP DATABASE `{database}`")
    return Both(hours, exported(url, folder / "postgresql.db"), by_mysql)


def exported(url: str, state: Path) -> Ledger:
    """`run --once`, and what the ledger holds then."""
    wanted = {"dify.database.url": url, "state.path": str(state)}
    with App(config.load(Path(os.devnull), {}, wanted).settings) as app:
        report = app.run_once()
        assert (report.set_aside, report.problems) == (0, ())
        described = dict(app.source().describe())
        with app.store.read() as connection:
            lines = map(json.loads, calls.listing(connection, ledger.CallFilter(), app.settings.compare))
            rows = connection.execute("SELECT trace_id, document FROM traces")
            return Ledger(
                described,
                {line["call_id"]: line for line in lines},
                {row[0]: json.loads(row[1]) for row in rows},
            )


def test_every_call_is_equal_but_for_the_named_differences(both: Both) -> None:
    assert both.postgresql.calls
    assert both.mysql.calls.keys() == both.postgresql.calls.keys()
    for call_id, expected in both.postgresql.calls.items():
        allowed = TIMES | (ROUND_PRICES if call_id.startswith("thought:") else set())
        found = both.mysql.calls[call_id]
        assert set(differing(expected, found)) <= allowed, call_id
        assert 0 <= seconds(expected["started_at"]) - seconds(found["started_at"]) < 1


def test_steps_have_the_same_ids_places_links_and_lengths(both: Both) -> None:
    assert both.mysql.traces.keys() == both.postgresql.traces.keys()
    measured = 0
    for trace_id, expected in both.postgresql.traces.items():
        found = both.mysql.traces[trace_id]
        steps, others = by_id(found["steps"]), by_id(expected["steps"])
        assert steps.keys() == others.keys()
        for span_id, step in steps.items():
            other = others[span_id]
            assert placed(step) == placed(other)
            assert abs(seconds(step["started_at"]) - seconds(other["started_at"])) <= 1
            assert step["ended_at"] >= step["started_at"]
            if (step["call_id"] or "").startswith("node:") and step["kind"] == "model":
                # steps inside of iterations are dated when they had ended, so only their elapsed time tells their length
                assert abs(length(step) - length(other)) < 0.1 or length(other) < 0.001
                measured += 1
    assert measured


def test_sums_verdicts_and_findings_of_traces_are_the_same(both: Both) -> None:
    for trace_id, expected in both.postgresql.traces.items():
        found = both.mysql.traces[trace_id]
        for name in ("sums", "verdict", "findings", "status", "session_id", "user_id", "is_final"):
            assert found.get(name) == expected.get(name), name
        assert [note for note in found["notes"] if "whole seconds" in note]


def test_status_says_what_a_dify_on_mysql_cannot_tell(both: Both) -> None:
    told = both.mysql.described
    assert "MariaDB" in told["server"]
    assert "total_price" in told["missing"]
    assert "dify.overlap" in told["late rows"]
    assert ("clock" in told) is bool(both.hours)
    assert "+08:00" in told.get("clock", "+08:00")
    assert told["Dify"] == both.postgresql.described["Dify"]


def by_id(steps: list[Document]) -> dict[str, Document]:
    return {step["span_id"]: step for step in steps}


def placed(step: Document) -> tuple[Any, ...]:
    return tuple(step.get(name) for name in ("parent_id", "kind", "name", "status", "call_id", "link"))


def length(step: Document) -> float:
    return seconds(step["ended_at"]) - seconds(step["started_at"])
