"""Dify's own tracing by the Console API: what the database tells, for a request per app, and asked again when it may have changed."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from exporter import config, ids
from exporter.config import DifySettings
from exporter.daemon import App
from exporter.destinations.base import Way
from exporter.errors import SourceRefused, Unreachable
from exporter.sources.console.checks import ask_tracing
from exporter.sources.console.source import ConsoleSource
from exporter.sources.database import open_database
from exporter.sources.tracing import TellsTracing, TracedApp
from tests.contract.console_twin import ConsoleTwin
from tests.contract.langfuse_twin import PROJECT, PUBLIC_KEY, SECRET_KEY, LangfuseTwin
from tests.sources.console.console_sources import Sources
from tests.sources.console.restored import VERSIONS, console, restored, settings, twin_of
from tests.sources.own_tracing import langfuse_config, langsmith_config, switch_on

SINCE = datetime(2026, 5, 4, 3, 2, 1, 123456)
SINCE_MICROS = int(SINCE.replace(tzinfo=UTC).timestamp()) * 1_000_000 + 123_456


def set_up(twin: ConsoleTwin, provider: str, told: dict[str, str], *, enabled: bool = True) -> str:
    """An app's own tracing is switched on; its name."""
    app = next(row for row in twin.rows.tables["apps"] if not row.get("tracing"))
    app["tracing"] = f'{{"enabled": {str(enabled).lower()}, "tracing_provider": "{provider}"}}'
    if told:
        twin.rows.tables["trace_app_config"].append(
            {
                "id": "1",
                "app_id": app["id"],
                "tracing_provider": provider,
                "tracing_config": told,
                "is_active": True,
                "created_at": SINCE,
                "updated_at": SINCE,
            }
        )
    twin.rows.of.clear()
    return str(app["name"])


def asked(twin: ConsoleTwin) -> list[str]:
    return [path.rpartition("/")[2] for path in twin.paths("/trace")]


def look_at_apps(source: ConsoleSource) -> None:
    """As after five minutes."""
    for opened in source.opened:
        opened.looked_at = float("-inf")
    _ = source.streams


@pytest.mark.parametrize("version", VERSIONS)
def test_it_tells_what_the_database_tells(shared: Path, tmp_path: Path, version: str) -> None:
    with restored(shared, version) as url:
        with psycopg.connect(url) as connection:
            apps = connection.execute("SELECT id::text FROM apps ORDER BY name LIMIT 5").fetchall()
            ids = [row[0] for row in apps]
            switch_on(connection, ids[0], "langfuse", langfuse_config("clx1"), since=SINCE)
            switch_on(connection, ids[1], "langsmith", langsmith_config("production"), since=SINCE)
            switch_on(connection, ids[2], "langfuse", None)
            switch_on(connection, ids[3], "langfuse", langfuse_config(), enabled=False)
        database = open_database(settings(tmp_path, dify__database__url=url).dify)
        with twin_of(url, version) as twin:
            flags = {"dify.console": console(twin)}
            dify = config.load(Path(os.devnull), {}, flags).settings.dify
            told = ask_tracing(dify)
            assert told == database.tracing()
            assert {item.project for item in told.apps} == {"clx1", "production"}
            assert twin.changes == []
        database.close()


def test_an_app_is_asked_once_and_a_traced_one_for_its_settings(twin: ConsoleTwin, sources: Sources) -> None:
    name = set_up(twin, "langfuse", langfuse_config("clx1"))
    source = sources.open(twin)
    assert isinstance(source, TellsTracing)
    (found,) = source.tracing().apps
    assert found == TracedApp(found.app, "langfuse", SINCE_MICROS, "clx1", "http://langfuse:3000")
    assert found.app.name == name
    apps = sum(len(opened.workspace.apps) for opened in source.opened)
    assert sorted(asked(twin)) == ["trace"] * apps + ["trace-config"]
    source.tracing()
    assert len(asked(twin)) == apps + 1


def test_an_app_that_was_changed_is_asked_again_and_the_others_are_not(
    twin: ConsoleTwin, sources: Sources
) -> None:
    source = sources.open(twin)
    assert source.tracing().apps == ()
    name = set_up(twin, "langsmith", langsmith_config("production"))
    changed = next(row for row in twin.rows.tables["apps"] if row["name"] == name)
    changed["updated_at"] = datetime(2026, 6, 1)
    twin.asked.clear()
    assert source.tracing().apps == ()
    look_at_apps(source)
    (found,) = source.tracing().apps
    assert (found.app.name, found.project) == (name, "production")
    assert asked(twin) == ["trace", "trace-config"]


def test_a_round_that_broke_off_goes_on_where_it_ended(twin: ConsoleTwin, sources: Sources) -> None:
    set_up(twin, "langfuse", langfuse_config())
    source = sources.open(twin)
    apps = sum(len(opened.workspace.apps) for opened in source.opened)
    twin.trouble.dies_after = twin.requests + 3
    with pytest.raises(Unreachable):
        source.tracing()
    answered = asked(twin)[:-1]
    assert len(answered) == 3
    twin.trouble.dies_after = 0
    twin.asked.clear()
    assert len(source.tracing().apps) == 1
    assert sorted(answered + asked(twin)) == ["trace"] * apps + ["trace-config"]


def test_where_dify_cannot_tell_the_project_the_app_is_traced_all_the_same(
    twin: ConsoleTwin, sources: Sources
) -> None:
    """Dify answers 400 where it cannot read its own keys, and an address without a project where the platform does not answer."""
    set_up(twin, "langfuse", {**langfuse_config(), "project_url": "http://langfuse:3000/"})
    twin.trouble.broken = {"trace-config": 3}
    source = sources.open(twin)
    told = source.tracing()
    (found,) = told.apps
    assert (found.provider, found.project, found.since) == ("langfuse", None, None)
    assert told.vague is not None
    assert "HTTP 500" in told.vague
    for opened in source.opened:
        opened.tracing.clear()
    (found,) = source.tracing().apps
    assert (found.project, found.since, found.host) == (None, SINCE_MICROS, "http://langfuse:3000")


def test_a_refused_app_is_named_and_nothing_is_known_where_all_are_refused(
    twin: ConsoleTwin, sources: Sources
) -> None:
    name = set_up(twin, "langfuse", langfuse_config())
    source = sources.open(twin)
    everything = {row["id"] for row in twin.rows.tables["apps"]}
    (traced,) = [row["id"] for row in twin.rows.tables["apps"] if row["name"] == name]
    twin.trouble.forbidden = everything
    told = source.tracing()
    assert told.unknown == "Dify's Console API does not tell it: HTTP 403 forbidden"
    twin.asked.clear()
    source.tracing()
    assert asked(twin) == []  # not again at once
    twin.trouble.forbidden = everything - {traced}
    for opened in source.opened:
        opened.tracing.clear()
    assert [item.app.id for item in source.tracing().apps] == [traced]
    assert all("Dify's own tracing of some apps" in words for words in source.troubles())
    assert len(source.troubles()) == len(source.opened)
    twin.trouble.forbidden = set()
    for opened in source.opened:
        opened.tracing.clear()
    source.tracing()
    assert source.troubles() == ()


@pytest.mark.parametrize("path", ["/trace", "/trace-config"])
def test_json_that_is_not_difys_does_not_say_that_tracing_is_off(
    twin: ConsoleTwin, sources: Sources, path: str
) -> None:
    name = set_up(twin, "langfuse", langfuse_config())
    source = sources.open(twin)
    source.tracing()
    for opened in source.opened:
        opened.tracing = {
            app: replace(item, asked_at=float("-inf")) for app, item in opened.tracing.items()
        }  # an hour later
    twin.trouble.foreign = (path, {"error": "try later"}, 1000)
    assert [item.app.name for item in source.tracing().apps] == [name]


def test_an_account_that_is_locked_out_tells_nothing(twin: ConsoleTwin, sources: Sources) -> None:
    source = sources.open(twin)
    twin.revoke(refresh=True)
    twin.trouble.locked = True
    with pytest.raises(SourceRefused, match="locked"):
        source.tracing()


def test_check_asks_nothing_of_a_dify_that_lets_nobody_in(twin: ConsoleTwin) -> None:
    flags = {"dify.console": {**console(twin), "accounts": [{"email": "a@b.cc", "password": "wrong"}]}}
    dify: DifySettings = config.load(Path(os.devnull), {}, flags).settings.dify
    assert "wrong e-mail or password" in (ask_tracing(dify).unknown or "")


def test_auto_adds_to_the_traces_of_traced_apps_and_sends_those_of_the_others(
    twin: ConsoleTwin, tmp_path: Path
) -> None:
    traced = next(row for row in twin.rows.tables["apps"] if row["mode"] == "workflow")
    traced["tracing"] = '{"enabled": true, "tracing_provider": "langfuse"}'
    twin.rows.tables["trace_app_config"].append(
        {
            **dict.fromkeys(("id", "is_active", "updated_at")),
            "app_id": traced["id"],
            "tracing_provider": "langfuse",
            "tracing_config": langfuse_config(PROJECT),
            "created_at": datetime(2020, 1, 1),
        }
    )
    runs = {row["id"] for row in twin.rows.tables["workflow_runs"] if row["app_id"] == traced["id"]}
    with LangfuseTwin(mode="dual") as langfuse:
        entry = {"kind": "langfuse", "endpoint": langfuse.url, "public_key": PUBLIC_KEY, "secret_key": SECRET_KEY,
                 "existing": "auto", "confirm_after": "0.3s", "requests_per_second": 5000}  # fmt: skip
        with App(settings(tmp_path, dify__console=console(twin), destinations=[entry])) as app:
            app.run_once()
            with app.store.read() as connection:
                ways = dict(connection.execute("SELECT trace_id, way FROM sent_as").fetchall())
        sent = {row["traceId"] for row in langfuse.rows()}
    assert runs
    assert {trace_id for trace_id, way in ways.items() if way == Way.ENRICHED.value} == {
        ids.trace_id(run) for run in runs
    }
    assert not sent & {ids.trace_id(run) for run in runs}
    assert sent
