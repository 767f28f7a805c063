"""What kind of Dify this is: version range, missing parts and what they cost, permissions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
import pytest
from dify_tables import (
    APP,
    DRAFT,
    FLOW,
    TENANT,
    USER,
    WORKFLOW,
    Database,
    add_message,
    add_node,
    add_run,
    ago,
    new_id,
)
from release_shapes import VERSIONS, Writer, build
from source_calls import fetch_all, ids, only_trace, settings, until_caught_up

from exporter.errors import SourceRefused, Unreachable
from exporter.sources.database import PROBE_AGAIN_SECONDS, open_database
from exporter.sources.versions import numbers, releases


def fill(connection: psycopg.Connection[Any], shape: dict[str, Any]) -> dict[str, str]:
    """One record of each kind, with every NOT NULL column of that release filled; returns their ids."""

    put = Writer(connection, shape).put
    put("tenants", id=TENANT, name="Acme")
    put("apps", id=APP, tenant_id=TENANT, name="Flow", mode="advanced-chat")
    put("apps", id=FLOW, tenant_id=TENANT, name="Report", mode="workflow")
    put("workflows", id=DRAFT, tenant_id=TENANT, app_id=FLOW, version="draft")
    put("end_users", id=USER, tenant_id=TENANT, app_id=APP, session_id="alice")
    moment = ago(minutes=5)
    common = {
        "tenant_id": TENANT,
        "workflow_id": WORKFLOW,
        "created_by": USER,
        "created_by_role": "end_user",
        "status": "succeeded",
    }
    made = {
        "run": put(
            "workflow_runs",
            app_id=FLOW,
            type="workflow",
            triggered_from="app-run",
            created_at=moment,
            **common,
        )
    }
    made["flow run"] = put(
        "workflow_runs", app_id=APP, type="chat", triggered_from="app-run", created_at=moment, **common
    )
    made["flow message"] = put(
        "messages", app_id=APP, workflow_run_id=made["flow run"], from_end_user_id=USER, query="Hi", answer="Ho",
        message='""', created_at=moment,
    )  # fmt: skip
    made["chat message"] = put(
        "messages", app_id=APP, from_end_user_id=USER, message='[{"role": "user", "text": "Hi"}]', message_tokens=8,
        answer_tokens=47, created_at=moment,
    )  # fmt: skip
    put("message_agent_thoughts", message_id=made["chat message"], position=1, thought="hm")
    put("message_files", message_id=made["chat message"], belongs_to="user")
    node = {"triggered_from": "workflow-run", "node_type": "llm", "process_data": '{"usage": {}}', **common}
    for run, app in (("run", FLOW), ("flow run", APP)):
        put("workflow_node_executions", app_id=app, workflow_run_id=made[run], index=2, **node)
        made[f"first node of {run}"] = put(
            "workflow_node_executions", app_id=app, workflow_run_id=made[run], index=1, **node
        )
    single = node | {"triggered_from": "single-step", "workflow_id": DRAFT}
    made["single step"] = put("workflow_node_executions", app_id=FLOW, index=1, created_at=moment, **single)
    if "workflow_node_execution_offload" in shape["tables"]:
        put(
            "workflow_node_execution_offload",
            node_execution_id=made["first node of run"],
            type="process_data",
        )
    return made


@pytest.mark.parametrize("version", VERSIONS)
def test_every_release_of_dify_is_recognised_and_read(
    version: str, shapes: dict[str, Any], server: Any, open_source: Any
) -> None:
    shape = shapes[version]
    name = server.create(f"release_{new_id()[:8]}")
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        build(connection, shape)
        made = fill(connection, shape)
    source = open_source(server.url(name))
    described = dict(source.describe())
    assert len(described) == len(list(source.describe())), "the state remembers one fact a name"
    releases = shape["releases"]
    expected = releases[0] if len(releases) == 1 else f"{releases[0]}–{releases[-1]}"
    assert described["Dify"] == f"{expected} (migration {shape['alembic_head']})"
    assert "missing" not in described
    refs = [ref for stream in source.streams for ref in until_caught_up(source, stream)[0]]
    fetched = fetch_all(source, refs)
    assert fetched.failed == ()
    assert fetched.vanished == ()
    traces = {trace.ref.id: trace for trace in fetched.traces}
    assert set(traces) == {made[key] for key in ("run", "flow message", "chat message", "single step")}
    assert [one.reason for one in fetched.filtered] == [f"part of message {made['flow message']}"]
    run, flow, chat = (traces[made[key]] for key in ("run", "flow message", "chat message"))
    assert [node.index for node in run.nodes] == [node.index for node in flow.nodes] == [1, 2]
    assert flow.run is not None
    assert (flow.run.id, flow.user, flow.app.name, flow.app.tenant_name) == (
        made["flow run"],
        "alice",
        "Flow",
        "Acme",
    )
    assert chat.message is not None
    assert (chat.message.message_tokens, chat.message.answer_tokens, chat.message.media) == (8, 47, 1)
    assert chat.message.message == '[{"role": "user", "text": "Hi"}]'
    assert [thought.thought for thought in chat.thoughts] == ["hm"]
    has_offload = "workflow_node_execution_offload" in shape["tables"]
    assert run.nodes[0].offloaded == (("process_data",) if has_offload else ())
    source.close()
    server.drop(name)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_unknown_migration_is_placed_between_releases_by_its_tables(
    version: str, shapes: dict[str, Any]
) -> None:
    shape = shapes[version]
    columns = {
        name: frozenset(column["name"] for column in table["columns"])
        for name, table in shape["tables"].items()
    }
    columns |= {name: frozenset[str]() for name in shape["other_tables"]}
    words = releases(("fedcba987654",), columns).words
    since = words.partition(" or newer")[0] if " or newer" in words else "0"
    until = words.rpartition("before ")[2] if "before " in words else "999"
    assert numbers(since) <= numbers(version) < numbers(until)


def test_an_empty_database_is_not_difys(server: Any) -> None:
    name = server.create(f"empty_{new_id()[:8]}")
    with pytest.raises(SourceRefused, match="not a Dify database") as caught:
        open_database(settings(server.url(name)))
    assert "dify_plugin" in str(caught.value.hint)
    server.drop(name)


def test_tables_of_the_same_name_without_difys_columns_are_not_dify(server: Any) -> None:
    name = server.create(f"other_{new_id()[:8]}")
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        for table in ("messages", "workflow_runs", "workflow_node_executions", "apps"):
            connection.execute(f"CREATE TABLE {table} (id uuid, created_at timestamp, name text)")  # type: ignore[call-overload]
    with pytest.raises(SourceRefused, match=r"messages\.app_id"):
        open_database(settings(server.url(name)))
    server.drop(name)


def test_a_schema_of_another_name_is_found_when_it_is_set(dify: Database, open_source: Any) -> None:
    dify.connection.execute("ALTER SCHEMA public RENAME TO dify_tables")
    with pytest.raises(SourceRefused, match="'public'"):
        open_database(settings(dify.url))
    message = add_message_in(dify, "dify_tables")
    source = open_source(dify.url, {"schema": "dify_tables"})
    assert ids(until_caught_up(source, "messages")[0]) == [message]


def add_message_in(dify: Database, schema: str) -> str:
    """A message while the tables are not on the search path."""
    dify.connection.execute(f"SET search_path = {schema}")  # type: ignore[call-overload]
    return add_message(dify.connection, created_at=ago(minutes=1))


def reader_role(server: Any, dify: Database, *tables: str) -> tuple[str, str]:
    """A role that may read only these tables; returns its name and its address."""
    role = f"reader_{new_id()[:8]}"
    server.superuser.execute(f"CREATE ROLE {role} LOGIN")
    for table in tables:
        dify.connection.execute(f"GRANT SELECT ON {table} TO {role}")  # type: ignore[call-overload]
    return role, dify.url.replace("//postgres@", f"//{role}@")


def test_a_missing_permission_names_the_tables_and_the_grant_that_mends_it(
    server: Any, dify: Database
) -> None:
    role, url = reader_role(
        server, dify, "apps", "messages", "message_agent_thoughts", "message_files", "workflow_runs"
    )
    with pytest.raises(SourceRefused, match=r"may not read workflow_node_executions, .*offload") as caught:
        open_database(settings(url))
    assert "messages" not in str(caught.value)
    grant = str(caught.value.hint).partition("run: ")[2]
    dify.connection.execute(grant)  # type: ignore[call-overload]
    source = open_database(settings(url))
    add_message(dify.connection, created_at=ago(minutes=1))
    assert only_trace(source, "messages").user == "alice"
    assert "superuser" not in dict(source.describe())["server"]
    source.close()
    dify.connection.execute(f"DROP OWNED BY {role}")  # type: ignore[call-overload]


def test_tables_that_only_carry_names_may_stay_closed_and_it_is_said(
    server: Any, dify: Database, open_source: Any
) -> None:
    needed = (
        "apps",
        "messages",
        "message_agent_thoughts",
        "message_files",
        "workflow_runs",
        "workflow_node_executions",
    )
    _, url = reader_role(server, dify, *needed, "workflow_node_execution_offload")
    source = open_source(url)
    missing = " ".join(words for name, words in source.describe() if name == "missing")
    for table in ("tenants", "end_users", "tool_workflow_providers", "alembic_version"):
        assert f"table {table} is not granted" in missing
    assert dict(source.describe())["Dify"] == "1.12.0 or newer, before 1.13.0 (migration unknown)"
    add_message(dify.connection, created_at=ago(minutes=1))
    trace = only_trace(source, "messages")
    assert (trace.app.name, trace.app.tenant_name, trace.user) == ("Support chat", None, None)


def test_a_schema_without_usage_is_a_missing_permission_too(server: Any, dify: Database) -> None:
    dify.connection.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    _, url = reader_role(server, dify, "apps", "messages")
    with pytest.raises(SourceRefused, match="may not read") as caught:
        open_database(settings(url))
    assert "GRANT USAGE ON SCHEMA" in str(caught.value.hint)


def test_an_optional_column_that_is_missing_is_unknown_and_named(dify: Database, open_source: Any) -> None:
    dify.connection.execute("ALTER TABLE messages DROP COLUMN message_metadata, DROP COLUMN currency")
    dify.connection.execute("ALTER TABLE message_agent_thoughts DROP COLUMN tool_meta_str")
    dify.connection.execute("DROP TABLE tool_workflow_providers")
    source = open_source(dify.url)
    missing = [words for name, words in source.describe() if name == "missing"]
    assert any(
        "messages" in words and "message_metadata" in words and "currency" in words for words in missing
    )
    assert any("tool_meta_str" in words for words in missing)
    assert any("tool_workflow_providers does not exist" in words for words in missing)
    message = add_message(dify.connection, message_tokens=8, created_at=ago(minutes=1))
    dify.connection.execute(
        "INSERT INTO message_agent_thoughts (message_id, position, tool) VALUES (%s, 1, 'clock')", [message]
    )
    trace = only_trace(source, "messages")
    assert trace.message is not None
    assert (trace.message.message_tokens, trace.message.message_metadata, trace.message.currency) == (
        8,
        None,
        None,
    )
    assert (trace.thoughts[0].tool, trace.thoughts[0].tool_meta) == ("clock", None)


def test_columns_and_tables_of_forks_and_newer_releases_are_ignored(dify: Database, open_source: Any) -> None:
    dify.connection.execute(
        "ALTER TABLE messages ADD COLUMN tenant_id uuid, ADD COLUMN input text DEFAULT 'x'"
    )
    dify.connection.execute("ALTER TABLE workflow_node_executions ADD COLUMN triggered_from_workflow_id uuid")
    dify.connection.execute("CREATE TABLE ops_trace_deliveries (id uuid)")
    message = add_message(dify.connection, created_at=ago(minutes=1))
    assert only_trace(open_source(dify.url), "messages").ref.id == message


def test_an_upgrade_of_dify_while_we_run_is_noticed(dify: Database, open_source: Any) -> None:
    source = open_source(dify.url)
    message = add_message(dify.connection, error="old", created_at=ago(minutes=1))
    assert only_trace(source, "messages").ref.id == message
    dify.connection.execute("ALTER TABLE messages DROP COLUMN error")
    dify.connection.execute("ALTER TABLE apps RENAME TO applications")
    with pytest.raises(SourceRefused, match="no apps"):
        source.fetch(tuple(until_caught_up(source, "messages")[0]))
    dify.connection.execute("ALTER TABLE applications RENAME TO apps")
    trace = only_trace(source, "messages")
    assert trace.message is not None
    assert trace.message.error is None
    assert any("error" in words for name, words in source.describe() if name == "missing")


def test_tables_that_an_upgrade_brings_are_noticed_within_minutes(
    old_dify: Database, open_source: Any
) -> None:
    run = add_run(old_dify.connection, created_at=ago(minutes=1))
    node = add_node(old_dify.connection, run)
    source = open_source(old_dify.url)
    assert only_trace(source, "runs").nodes[0].offloaded == ()
    old_dify.connection.execute(
        "CREATE TABLE workflow_node_execution_offload (node_execution_id uuid, type varchar(20))"
    )
    old_dify.connection.execute("INSERT INTO workflow_node_execution_offload VALUES (%s, 'inputs')", [node])
    source.probe = replace(source.probe, at_seconds=source.probe.at_seconds - PROBE_AGAIN_SECONDS)
    assert only_trace(source, "runs").nodes[0].offloaded == ("inputs",)


def test_runs_that_dify_keeps_outside_of_the_database_are_pointed_out(
    dify: Database, open_source: Any
) -> None:
    assert "runs" not in dict(open_source(dify.url).describe())
    add_message(dify.connection, workflow_run_id=new_id())
    assert "empty although messages name runs" in dict(open_source(dify.url).describe())["runs"]
    add_run(dify.connection)
    assert "runs" not in dict(open_source(dify.url).describe())


def test_missing_indexes_are_named_on_an_old_dify(
    old_dify: Database, dify: Database, open_source: Any
) -> None:
    words = " ".join(words for name, words in open_source(old_dify.url).describe() if name == "index")
    assert "runs by time" in words
    assert "workflow tools" in words
    assert "messages" not in words
    assert "index" not in dict(open_source(dify.url).describe())


def test_a_stopped_answer_of_the_server_is_worth_a_retry(dify: Database, open_source: Any) -> None:
    add_message(dify.connection)
    dify.connection.execute("ALTER TABLE messages RENAME TO m")
    dify.connection.execute("CREATE VIEW messages AS SELECT m.* FROM m, (SELECT pg_sleep(9) OFFSET 0) s")
    source = open_source(dify.url, {"statement_timeout": "200ms"})
    with pytest.raises(Unreachable, match="statement_timeout"):
        source.discover("messages", None)
