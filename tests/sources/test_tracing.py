"""For which apps Dify's own tracing is on, as far as this role may know: never a failure, never a key."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from dify_tables import APP, FLOW, TENANT, Database, insert, new_id
from own_tracing import COLUMN, TABLE, langfuse_config, langsmith_config, prepare, switch_on
from source_calls import settings

from exporter.config import DifySettings
from exporter.sources.database import open_database
from exporter.sources.timestamps import to_micros
from exporter.sources.tracing import TellsTracing, TracedApp, Tracing, ask

SINCE = datetime(2026, 5, 4, 3, 2, 1)


def told(tracing: Tracing) -> list[tuple[Any, ...]]:
    return [(item.app.name, item.provider, item.since, item.project, item.host) for item in tracing.apps]


@pytest.fixture
def traced(dify: Database) -> Database:
    prepare(dify.connection)
    return dify


def test_an_app_is_traced_when_it_is_switched_on_and_set_up(traced: Database) -> None:
    switch_on(traced.connection, APP, "langfuse", langfuse_config("clx1"), since=SINCE)
    switch_on(traced.connection, FLOW, "langsmith", langsmith_config("production"))
    off = insert(traced.connection, "apps", tenant_id=TENANT, name="Off", mode="chat")
    switch_on(traced.connection, off, "langfuse", langfuse_config(), enabled=False)
    removed = insert(traced.connection, "apps", tenant_id=TENANT, name="Removed", mode="chat")
    switch_on(traced.connection, removed, "langfuse", None)
    found = ask(settings(traced.url))
    assert (found.unknown, found.vague) == (None, None)
    assert told(found) == [
        ("Report", "langsmith", to_micros(datetime(2020, 1, 1)), "production", "https://api.smith.langchain.com"),
        ("Support chat", "langfuse", to_micros(SINCE), "clx1", "http://langfuse:3000"),
    ]  # fmt: skip
    assert [item.app.name for item in found.at("langfuse")] == ["Support chat"]


def test_the_open_source_tells_the_same_and_sees_a_change(traced: Database) -> None:
    source = open_database(settings(traced.url))
    assert isinstance(source, TellsTracing)
    assert source.tracing() == Tracing()
    switch_on(traced.connection, APP, "langfuse", langfuse_config())
    assert [item.app.id for item in source.tracing().apps] == [APP]
    source.close()


def test_of_two_rows_for_a_provider_dify_uses_the_first_by_id(traced: Database) -> None:
    switch_on(traced.connection, APP, "langfuse", None)
    for number, project in ((2, "second"), (1, "first")):
        traced.connection.execute(
            "INSERT INTO trace_app_config (id, app_id, tracing_provider, tracing_config, is_active)"
            " VALUES (%s, %s, 'langfuse', json_build_object('project_url', 'http://l/project/' || %s::text), false)",
            (f"00000000-0000-4000-8000-00000000000{number}", APP, project),
        )
    assert [item.project for item in ask(settings(traced.url)).apps] == ["first"]


def test_what_dify_left_illegible_counts_as_off_and_as_unknown_where(traced: Database) -> None:
    for text in ("", "{", "[]", "null", '{"enabled": true}', '{"enabled": true, "tracing_provider": 7}'):
        traced.connection.execute("UPDATE apps SET tracing = %s WHERE id = %s", (text, APP))
        assert ask(settings(traced.url)) == Tracing()
    switch_on(traced.connection, APP, "langfuse", None)
    for config in ("null", "[]", '"text"', "{}", '{"host": null, "project_key": "clx9"}'):
        traced.connection.execute("DELETE FROM trace_app_config")
        traced.connection.execute(
            "INSERT INTO trace_app_config (app_id, tracing_provider, tracing_config) VALUES (%s, 'langfuse', %s)",
            (APP, config),
        )
        (found,) = ask(settings(traced.url)).apps
        assert (found.project, found.host) == ("clx9" if "clx9" in config else None, None)


def test_apps_that_are_not_exported_are_not_counted(traced: Database) -> None:
    switch_on(traced.connection, APP, "langfuse", langfuse_config())
    switch_on(traced.connection, FLOW, "langfuse", langfuse_config())
    known = settings(traced.url)
    without = DifySettings(**{**known.model_dump(), "exclude": {"apps": ["Report"]}})
    assert [item.app.name for item in ask(without).apps] == ["Support chat"]
    within = DifySettings(
        **{**known.model_dump(), "include": {"workspaces": ["Acme"], "modes": ["workflow"]}}
    )
    assert [item.app.name for item in ask(within).apps] == ["Report"]


def test_an_old_dify_without_the_column_cannot_tell(old_dify: Database) -> None:
    assert ask(settings(old_dify.url)) == Tracing(unknown="this Dify has no apps.tracing")


def test_without_the_table_it_is_known_who_is_traced_but_not_where(dify: Database) -> None:
    dify.connection.execute(COLUMN)
    switch_on(dify.connection, APP, "langfuse", None)
    found = ask(settings(dify.url))
    assert found.vague == "this Dify has no table trace_app_config"
    assert told(found) == [("Support chat", "langfuse", None, None, None)]


def test_a_role_without_rights_is_told_the_grant_and_it_works(server: Any, traced: Database) -> None:
    role = f"reader_{new_id()[:8]}"
    server.superuser.execute(f"CREATE ROLE {role} LOGIN")
    url = traced.url.replace("//postgres@", f"//{role}@")
    traced.connection.execute(f"GRANT SELECT (id, tenant_id, name, mode) ON apps TO {role}")  # type: ignore[call-overload]
    switch_on(traced.connection, APP, "langfuse", langfuse_config("clx1"))
    unknown = ask(settings(url)).unknown
    assert unknown is not None
    assert unknown.startswith(f"role {role} may not read apps; as the owner run: GRANT SELECT (")
    traced.connection.execute(unknown.partition("run: ")[2])  # type: ignore[call-overload]
    found = ask(settings(url))
    assert told(found) == [("Support chat", "langfuse", None, None, None)]
    assert found.vague is not None
    traced.connection.execute(found.vague.partition("run: ")[2])  # type: ignore[call-overload]
    assert told(ask(settings(url)))[0][3] == "clx1"
    traced.connection.execute(f"REVOKE SELECT (tracing_config) ON trace_app_config FROM {role}")  # type: ignore[call-overload]
    found = ask(settings(url))
    assert (found.apps[0].project, found.apps[0].since) == (None, to_micros(datetime(2020, 1, 1)))
    assert found.vague is not None
    traced.connection.execute(f"DROP OWNED BY {role}")  # type: ignore[call-overload]


def test_no_key_is_ever_asked_for(traced: Database) -> None:
    switch_on(traced.connection, APP, "langfuse", langfuse_config())
    found = ask(settings(traced.url))
    assert "SFlCUklEOi0x" not in repr(found)
    assert found.apps == (
        TracedApp(
            found.apps[0].app, "langfuse", to_micros(datetime(2020, 1, 1)), "twin-project", "http://langfuse:3000"
        ),
    )  # fmt: skip


def test_a_dify_that_cannot_be_reached_is_a_reason_and_no_failure() -> None:
    found = ask(settings("postgresql://dify:hidden-pass@127.0.0.1:1/dify"))
    assert found.unknown
    assert "hidden-pass" not in found.unknown


def test_without_a_database_there_is_nobody_to_ask() -> None:
    told = "the Service API does not tell it; Dify's database and its Console API do"
    assert ask(DifySettings()).unknown == told


def test_the_table_alone_tells_nothing(old_dify: Database) -> None:
    old_dify.connection.execute(TABLE)
    assert ask(settings(old_dify.url)).unknown == "this Dify has no apps.tracing"
