"""The replay in a real embedded PostgreSQL, read by the real source."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from exporter import clock, config
from exporter.demo import recording, replay
from exporter.demo.database import dify_database
from exporter.demo.tables import TABLES, TIMES
from exporter.model import RecordRef, Status
from exporter.sources.assemble import assemble
from exporter.sources.checks import check_source
from exporter.sources.database import open_database
from exporter.sources.rows import Source
from exporter.sources.schema import COLUMNS

TRUTH = json.loads(Path(__file__).with_name("truth.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with dify_database() as address:
        yield address


@pytest.fixture
def empty(url: str) -> str:
    with psycopg.connect(url) as connection:
        connection.execute(b"TRUNCATE %s" % ", ".join(set(TABLES) - {"alembic_version"}).encode())
    return url


def dify(url: str) -> config.DifySettings:
    return config.load(Path("/dev/null"), {}, {"dify.database.url": url}).settings.dify


def all_refs(source: Source) -> tuple[RecordRef, ...]:
    found: list[RecordRef] = []
    for stream in source.streams:
        cursor, caught_up = None, False
        while not caught_up:
            page = source.discover(stream, cursor)
            cursor, caught_up = page.cursor, page.caught_up
            found += page.refs
    return tuple(dict.fromkeys(found))


def newest_times(url: str) -> dict[str, int]:
    times = {}
    with psycopg.connect(url) as connection:
        for table, columns in TABLES.items():
            for column in sorted(TIMES & columns.keys()):
                query = f"SELECT (extract(epoch FROM max({column})) * 1000000)::bigint FROM {table}"
                times[f"{table}.{column}"] = connection.execute(query.encode()).fetchone()[0] or 0  # type: ignore[index]
    return times


def test_the_tables_are_exactly_what_the_source_reads() -> None:
    assert {table: set(columns) for table, columns in COLUMNS.items()} == {
        table: set(columns) - {"id"} | ({"id"} & set(COLUMNS[table])) for table, columns in TABLES.items()
    }


def test_the_check_finds_nothing_missing_in_the_demo_database(empty: str) -> None:
    lines = check_source(dify(empty))
    assert [line for line in lines if not line.ok or line.name in ("missing", "index")] == []
    assert any("1.14.0" in line.seen for line in lines)


def test_everything_at_once_lies_in_the_past_and_is_read_as_recorded(empty: str, tmp_path: Path) -> None:
    loaded, until = recording.load("once"), clock.now() - 60_000_000
    replay.play_at_once(empty, loaded, tmp_path / "vendor.jsonl", until)
    newest = newest_times(empty)
    assert max(newest.values()) <= until
    assert max(newest.values()) > until - 2_000_000

    source = open_database(dify(empty))
    fetched = source.fetch(all_refs(source))
    source.close()
    assert fetched.failed == fetched.vanished == ()
    traces = [assemble(rows) for rows in fetched.traces]
    recorded_input = sum(
        call.recorded.tokens.input or 0 for trace in traces for call in trace.calls if call.recorded
    )
    recorded_output = sum(
        call.recorded.tokens.output or 0 for trace in traces for call in trace.calls if call.recorded
    )
    assert recorded_input == sum(row["dify"][0] for row in TRUTH.values())
    assert recorded_output == sum(row["dify"][1] for row in TRUTH.values())
    assert {trace.app.tenant_name for trace in traces} == {"Admin's Workspace", "Second workspace"}
    assert sum(trace.is_paused for trace in traces) == 1
    assert sum(trace.is_debug for trace in traces) == 3
    assert {trace.status for trace in traces} == set(Status)
    assert [note for trace in traces for note in trace.notes] == []


def test_vendor_log_holds_every_request_as_one_line(empty: str, tmp_path: Path) -> None:
    loaded, log = recording.load("once"), tmp_path / "vendor.jsonl"
    replay.play_at_once(empty, loaded, log, clock.now())
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert len(lines) == sum(len(episode.vendor_records(0)) for episode in loaded.episodes)
    assert len({line["id"] for line in lines}) == len(lines)


def test_live_replay_dates_nothing_later_than_the_moment_it_appears(empty: str, tmp_path: Path) -> None:
    loaded, log = recording.load("live"), tmp_path / "vendor.jsonl"
    shown = []
    for shows in replay.play_live(empty, loaded, log, lambda: True, clock.now):
        shown.append(shows)
        if len(shown) % 10 == 0:
            assert max(newest_times(empty).values()) <= clock.now()
            assert log.read_bytes().endswith(b"\n")
    assert shown == [episode.shows for episode in loaded.episodes]
    now = clock.now()
    assert all(line["ended_at"] <= clock.rfc3339(now) for line in map(json.loads, log.open(encoding="utf-8")))


def test_live_replay_ends_when_it_is_told_to(empty: str, tmp_path: Path) -> None:
    answers = iter([True, True, False])
    loaded = recording.load("live")
    shown = list(replay.play_live(empty, loaded, tmp_path / "vendor.jsonl", lambda: next(answers), clock.now))
    assert shown == [episode.shows for episode in loaded.episodes[:2]]


def test_the_embedded_database_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with dify_database() as address:
        folder = Path(address.partition("host=")[2])
        assert folder.exists()
    assert not folder.parent.exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(address, connect_timeout=2)
