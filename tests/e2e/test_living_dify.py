"""Rows that come late, in crowds, and in pieces: each is exported, once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from living_dify import UNFINISHED, insert, living_dify, message, stamp, uuid_of

from exporter import config
from exporter.daemon import App
from exporter.state import ledger, records
from tests.contract import langfuse_twin
from tests.contract.langfuse_twin import LangfuseTwin


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with living_dify() as url:
        yield url


@pytest.fixture
def dify(server: str) -> Iterator[str]:
    yield server
    with psycopg.connect(server) as connection:
        for table in ("messages", "workflow_runs", "workflow_node_executions", "message_agent_thoughts"):
            connection.execute(f"DELETE FROM {table}")  # type: ignore[call-overload]


@pytest.fixture
def langfuse() -> Iterator[LangfuseTwin]:
    with LangfuseTwin() as twin:
        yield twin


def _app(dify: str, twin: LangfuseTwin, tmp_path: Path, **settings: Any) -> App:
    wanted = {
        "dify.database.url": dify,
        "dify.sweep_interval": "0s",
        "state.path": str(tmp_path / "s.db"),
        "destinations": [{
            "kind": "langfuse", "endpoint": twin.url, "public_key": langfuse_twin.PUBLIC_KEY,
            "secret_key": langfuse_twin.SECRET_KEY, "confirm_after": "0.02s",
        }],
        **{name.replace("__", "."): value for name, value in settings.items()},
    }  # fmt: skip
    return App(config.load(Path(os.devnull), {}, wanted).settings)


def _traces(app: App) -> set[str]:
    with app.store.read() as connection:
        return {
            document["trace_id"] for document in ledger.newest(connection, 100_000) if document["exported"]
        }


def _ids(*names: object) -> set[str]:
    return {uuid_of(name).replace("-", "") for name in names}


def _commit(dify: str, *rows: dict[str, Any]) -> None:
    with psycopg.connect(dify) as connection:
        insert(connection, "messages", rows)


def test_a_row_committed_long_after_newer_ones_were_exported_is_not_lost(
    dify: str, langfuse: LangfuseTwin, tmp_path: Path
) -> None:
    """The transaction stays open longer than the overlap reaches back: only the snapshot guard can save its row."""
    with _app(dify, langfuse, tmp_path, dify__overlap="0.2s") as app:
        app.poll()
        with psycopg.connect(dify) as late:
            insert(late, "messages", [message("late", stamp())])
            for round_number in range(6):
                time.sleep(0.25)
                _commit(dify, message(f"newer {round_number}", stamp()))
                app.poll()
            assert _traces(app) == _ids(*(f"newer {number}" for number in range(6)))
        app.poll()
        assert _traces(app) == _ids("late", *(f"newer {number}" for number in range(6)))
        app.poll()
        assert app.run_once().problems == ()
        assert set(langfuse.counts().values()) == {1}
        assert langfuse.violations == []


def test_ten_thousand_rows_in_one_second_are_all_exported_once(
    dify: str, langfuse: LangfuseTwin, tmp_path: Path
) -> None:
    second = stamp(60)[:19]
    with psycopg.connect(dify) as connection:
        insert(connection, "messages", [message("crowd 0", second)])
        connection.execute(
            "INSERT INTO messages SELECT (m2).* FROM (SELECT json_populate_record(NULL::messages,"
            " (to_jsonb(m) || jsonb_build_object('id', gen_random_uuid()))::json) AS m2"
            " FROM messages m, generate_series(1, 9999)) AS more"
        )
    with _app(dify, langfuse, tmp_path) as app:
        report = app.run_once()
        assert (report.exported, report.problems, report.waiting) == (10_000, (), {})
    assert len(langfuse.counts()) == 20_000
    assert set(langfuse.counts().values()) == {1}


def test_a_row_that_finishes_later_is_exported_when_it_is_finished(
    dify: str, langfuse: LangfuseTwin, tmp_path: Path
) -> None:
    created_at = stamp(10)
    _commit(dify, message("slow", created_at, **UNFINISHED), message("quick", created_at))
    with _app(dify, langfuse, tmp_path, dify__poll_interval="0.1s") as app:
        app.poll()
        assert _traces(app) == _ids("quick")
        with app.store.read() as connection:
            assert records.counts(connection) == {"done": 1, "pending": 1}
        with psycopg.connect(dify) as connection:
            connection.execute("DELETE FROM messages WHERE id = %s", (uuid_of("slow"),))
            insert(connection, "messages", [message("slow", created_at)])
        time.sleep(0.3)
        app.poll()
        assert _traces(app) == _ids("quick", "slow")
        app.run_once()
    assert len(langfuse.counts()) == 4
    assert set(langfuse.counts().values()) == {1}


def test_an_abandoned_row_is_exported_as_unfinished_and_corrected_if_it_finishes_after_all(
    dify: str, langfuse: LangfuseTwin, tmp_path: Path
) -> None:
    created_at = stamp(30)
    _commit(dify, message("abandoned", created_at, **UNFINISHED))
    with _app(dify, langfuse, tmp_path, dify__unfinished_after="1s", dify__poll_interval="0.1s") as app:
        app.run_once()
        assert _traces(app) == _ids("abandoned")
        _commit_finished(dify, created_at)
        time.sleep(0.3)
        app.run_once()
        with app.store.read() as connection:
            document = ledger.trace(connection, uuid_of("abandoned"))
    assert document is not None
    assert (document["status"], document["revision"], document["final"]) == ("ok", 2, True)
    assert len(langfuse.counts()) == 2
    assert set(langfuse.counts().values()) == {1}
    outputs = [row["output"] for row in langfuse.rows()]
    assert any("an answer" in str(output) for output in outputs)


def _commit_finished(dify: str, created_at: str) -> None:
    with psycopg.connect(dify) as connection:
        connection.execute("DELETE FROM messages WHERE id = %s", (uuid_of("abandoned"),))
        insert(connection, "messages", [message("abandoned", created_at)])


def test_rows_that_make_no_sense_are_exported_as_far_as_they_go(
    dify: str, langfuse: LangfuseTwin, tmp_path: Path
) -> None:
    created_at = stamp(60)
    _commit(
        dify,
        message("bad metadata", created_at, message_metadata='{"usage": '),
        message("negative", created_at, message_tokens=-7),
        message("absurd", created_at, message_tokens=2_000_000_000),
        message("odd prompt", created_at, message={"not": "a list"}),
        message(
            "surrogate",
            created_at,
            message_metadata='{"retriever_resources": [{"dataset_id": "d", "content": "\\ud83d"}]}',
        ),
        message("unknown words", created_at, status="transcended", invoke_from="telepathy", app_mode="dream"),
        message("good", created_at),
    )
    with _app(dify, langfuse, tmp_path) as app:
        report = app.run_once()
        with app.store.read() as connection:
            documents = {item["record"]["id"]: item for item in ledger.newest(connection, 100)}
    assert (report.exported, report.set_aside, report.problems) == (7, 0, ())
    assert documents[uuid_of("bad metadata")]["notes"] == ["messages.message_metadata is not valid JSON"]
    assert documents[uuid_of("negative")]["calls"][0]["readings"]["dify"]["input"] is None
    assert documents[uuid_of("good")]["notes"] == []
    assert langfuse.violations == []


def test_a_fifty_megabyte_prompt_passes_in_bounded_pieces(
    dify: str, langfuse: LangfuseTwin, tmp_path: Path
) -> None:
    huge = "word " * 10_000_000
    _commit(
        dify,
        message("huge", stamp(60), message=[{"role": "user", "text": huge}]),
        message("small", stamp(50)),
    )
    with _app(dify, langfuse, tmp_path) as app:
        report = app.run_once()
        with app.store.read() as connection:
            call = ledger.trace(connection, uuid_of("huge"))["calls"][0]  # type: ignore[index]
    assert report.exported == 2
    assert report.problems == ()
    local = call["readings"]["local"]
    assert local["input"] == pytest.approx(10_000_000, rel=0.02)
    assert max(langfuse.bodies) < 2_000_000


def test_reading_stops_when_the_backlog_is_full_and_goes_on_when_there_is_room(
    dify: str, langfuse: LangfuseTwin, tmp_path: Path
) -> None:
    from exporter.errors import Stopped

    _commit(dify, *(message(f"m {number}", stamp(60)) for number in range(300)))
    with _app(dify, langfuse, tmp_path, dify__page_size=50, state__max_backlog="200KiB") as app:
        langfuse.down()
        with pytest.raises(Stopped, match="max_backlog"):
            app.poll()
        passed = len(_traces(app))
        assert 0 < passed < 300
        langfuse.up()
        for _ in range(20):
            try:
                app.run_once()
                break
            except Stopped:
                app.deliver("langfuse")
        assert len(_traces(app)) == 300
    assert len(langfuse.counts()) == 600
    assert set(langfuse.counts().values()) == {1}
