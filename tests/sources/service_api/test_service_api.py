"""The Service API: runs of single workflow apps with their totals, and no word of single calls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter import calls
from exporter.config import Settings
from exporter.daemon import App
from exporter.errors import Misconfigured, SourceRefused, Unreachable
from exporter.model import RecordKind, RecordRef
from exporter.sources.http.troubles import TellsTroubles
from exporter.sources.rows import Source
from exporter.sources.service_api import open_service_api
from exporter.sources.service_api.checks import check_service_api
from exporter.sources.service_api.source import ServiceApiSource
from exporter.state import ledger
from tests.conftest import RecordedDify
from tests.contract.console_twin import ConsoleTwin
from tests.sources.console.console_sources import fetched, found
from tests.sources.console.restored import settings, twin_of


@pytest.fixture
def twin(recorded_dify: RecordedDify) -> Iterator[ConsoleTwin]:
    """Every app has a key."""
    with twin_of(recorded_dify.url, "1.14.0") as served:
        served.keys = {f"app-{row['id']}": row["id"] for row in served.rows.tables["apps"]}
        yield served


def wanted(twin: ConsoleTwin, folder: Path, *more: str) -> Settings:
    keys = [*twin.keys, *more]
    entries = [{"url": f"{twin.url}/v1", "key": key, "requests_per_minute": 100_000} for key in keys]
    return settings(folder, dify__apps=entries)


@pytest.fixture
def source(twin: ConsoleTwin, tmp_path: Path) -> Iterator[Source]:
    opened = open_service_api(wanted(twin, tmp_path).dify)
    yield opened
    opened.close()


def logged(twin: ConsoleTwin) -> set[str]:
    return {row["workflow_run_id"] for row in twin.rows.tables["workflow_app_logs"]}


def test_every_logged_run_is_read_with_its_totals(twin: ConsoleTwin, source: Source) -> None:
    refs = found(source)
    assert set(refs) == logged(twin)
    for trace in fetched(source, refs).traces:
        row, run = twin.rows.by_id["workflow_runs"][trace.ref.id], trace.run
        assert run is not None
        assert (run.total_tokens, run.status, run.app_id) == (
            row["total_tokens"],
            row["status"],
            row["app_id"],
        )
        assert json.loads(run.inputs or "{}") == json.loads(row["inputs"] or "{}")
        assert trace.nodes == ()
        assert "totals of the run only" in trace.notes[0]
    assert twin.changes == []


def test_the_ledger_claims_no_call_and_proves_nothing(twin: ConsoleTwin, tmp_path: Path) -> None:
    with App(wanted(twin, tmp_path)) as app:
        report = app.run_once()
        with app.store.read() as connection:
            found_calls = list(calls.listing(connection, ledger.CallFilter(), app.settings.compare))
            rows = connection.execute("SELECT record_id, trace_id, verdict, document FROM traces").fetchall()
    assert report.set_aside == 0
    assert found_calls == []
    for run_id, trace_id, verdict, document in rows:
        total = twin.rows.by_id["workflow_runs"][run_id]["total_tokens"]
        assert trace_id == run_id.replace("-", "")
        assert json.loads(document)["sums"]["run_total"] == total
        assert verdict == ("unverified" if total else "agree")
    assert {row[0] for row in rows} == logged(twin)


def test_a_wrong_key_is_named_and_the_others_are_read(twin: ConsoleTwin, tmp_path: Path) -> None:
    opened = open_service_api(wanted(twin, tmp_path, "app-wrong").dify)
    facts = dict(opened.describe())
    assert facts["refused 1"].endswith("HTTP 401 unauthorized")
    assert "app-wrong" not in repr(facts)
    assert set(found(opened)) == logged(twin)
    opened.close()
    twin.keys.clear()
    with pytest.raises(SourceRefused, match="key 1"):
        open_service_api(wanted(twin, tmp_path, "app-wrong").dify)


def test_apps_that_list_nothing_are_said_so(source: Source) -> None:
    told = " ".join(words for _, words in source.describe())
    assert "(chat): nothing" in told
    assert "(workflow): workflow runs" in told


def test_after_a_restart_a_run_is_found_by_asking_every_key(
    twin: ConsoleTwin, source: Source, tmp_path: Path
) -> None:
    refs = found(source)
    fresh = open_service_api(wanted(twin, tmp_path).dify)
    assert {trace.ref.id for trace in fetched(fresh, refs).traces} == set(refs)
    message = RecordRef(RecordKind.MESSAGE, "00000000-0000-4000-8000-000000000000", 0)
    assert dict(fetched(fresh, {message.id: message}).failed)[message].startswith("none of the apps")
    fresh.close()


def test_a_broken_server_is_outlasted(twin: ConsoleTwin, source: Source) -> None:
    refs = found(source)
    twin.trouble.broken = {"/workflows/run/": 1}
    with pytest.raises(Unreachable):
        source.fetch(tuple(refs.values()))
    assert {trace.ref.id for trace in fetched(source, refs).traces} == set(refs)


def test_check_tells_what_cannot_be_seen(twin: ConsoleTwin, tmp_path: Path) -> None:
    lines = {line.name: line for line in check_service_api(wanted(twin, tmp_path).dify)}
    assert all(line.ok for line in lines.values())
    assert "totals of runs only" in lines["cannot see: calls"].seen


@pytest.mark.parametrize(
    "entry", [{"url": "api.dify.ai", "key": "app-1"}, {"url": "https://api.dify.ai/v1", "key": ""}]
)
def test_settings_that_cannot_work_are_errors_at_start(entry: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"dify\.apps"):
        settings(tmp_path, dify__apps=[entry])


def test_a_log_that_is_refused_is_told_until_it_is_given(twin: ConsoleTwin, source: Source) -> None:
    assert isinstance(source, ServiceApiSource)
    cursors: dict[str, str] = {}
    found(source, cursors)
    assert source.troubles() == ()
    twin.trouble.broken = {"/workflows/logs": 1}
    look_again(source)
    found(source, cursors)
    (words,) = source.troubles()
    assert "refuses the log of app" in words
    assert "HTTP 500" in words
    look_again(source)
    found(source, cursors)
    assert source.troubles() == ()
    assert not [name for name, _ in source.describe() if name.startswith("trouble")]


def test_a_key_that_was_refused_at_the_start_is_told_with_what_to_do(
    twin: ConsoleTwin, tmp_path: Path
) -> None:
    opened = open_service_api(wanted(twin, tmp_path, "app-wrong").dify)
    assert isinstance(opened, TellsTroubles)
    (words,) = opened.troubles()
    assert words.startswith("An app of Dify is not read: dify.apps, key ")
    assert "correct its key" in words
    opened.close()


def look_again(source: ServiceApiSource) -> None:
    """As after a quarter of a minute."""
    for keyed in source.apps:
        keyed.next_look = 0.0
