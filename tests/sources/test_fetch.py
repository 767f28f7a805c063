"""From refs to rows: what belongs to a trace, what is left out and why, what is gone, and what cannot be read."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from dify_tables import (
    ACCOUNT,
    APP,
    FLOW,
    SHAPE_1_12,
    TENANT,
    USER,
    WORKFLOW,
    Database,
    add_message,
    add_node,
    add_run,
    ago,
    create_tables,
    insert,
    new_id,
    workflow_tool,
)
from source_calls import fetch_all, ids, only_trace, until_caught_up

from exporter.model import RecordKind, RecordRef
from exporter.sources.links import MOST_CHILDREN
from exporter.sources.rows import Fetched
from exporter.sources.timestamps import to_micros

AT = datetime(2026, 11, 23, 19, 17, 7, 433732)


def fetch_stream(source: Any, stream: str) -> Fetched:
    return fetch_all(source, until_caught_up(source, stream)[0])


def chatflow(dify: Database, **message: Any) -> tuple[str, str, str]:
    """A chatflow app with one message, its run and two nodes; returns message, run and app."""
    app = insert(dify.connection, "apps", tenant_id=TENANT, name="Helpdesk", mode="advanced-chat")
    run = add_run(dify.connection, app_id=app, type="chat", created_at=AT)
    said = add_message(
        dify.connection,
        **{"app_id": app, "workflow_run_id": run, "created_at": AT.replace(microsecond=0), **message},
    )
    for index in (2, 1):
        add_node(dify.connection, run, app_id=app, index=index)
    return said, run, app


# ── what belongs together ───────────────────────────────────────────────────────────────────────────────────


def test_a_chat_message_comes_with_every_column_exact(dify: Database, open_source: Any) -> None:
    message = add_message(
        dify.connection,
        created_at=AT.replace(microsecond=0),
        updated_at=AT,
        conversation_id=WORKFLOW,
        model_provider="langgenius/openai/openai",
        model_id="gpt-4o-mini",
        inputs='{"name": "x"}',
        message='[{"role": "user", "text": "你好"}]',
        message_tokens=8,
        answer_tokens=47,
        message_unit_price=Decimal("0.1500"),
        message_price_unit=Decimal("0.0000010"),
        total_price=Decimal("0.0000294"),
        provider_response_latency=0.25,
        message_metadata='{"usage": null}',
        invoke_from="service-api",
    )
    row = only_trace(open_source(dify.url), "messages").message
    assert row is not None
    assert (row.id, row.app_id, row.conversation_id, row.workflow_run_id) == (message, APP, WORKFLOW, None)
    assert (row.created_at, row.updated_at) == (1795461427000000, 1795461427433732)
    assert (row.model_provider, row.model_id) == ("langgenius/openai/openai", "gpt-4o-mini")
    assert (row.inputs, row.message) == ('{"name": "x"}', '[{"role": "user", "text": "你好"}]')
    assert (row.message_tokens, row.answer_tokens, row.provider_response_latency) == (8, 47, 0.25)
    assert (str(row.message_unit_price), str(row.total_price), row.currency) == ("0.1500", "0.0000294", "USD")
    assert (row.message_price_unit, row.answer_price_unit) == (Decimal("0.000001"), Decimal("0.001"))
    assert (row.query, row.answer, row.status, row.error) == ("Hello", "Hi", "normal", None)
    assert (row.message_metadata, row.invoke_from, row.from_source) == (
        '{"usage": null}',
        "service-api",
        "api",
    )
    assert (row.from_end_user_id, row.from_account_id, row.override_model_configs) == (USER, None, None)


def test_a_run_comes_with_its_nodes_in_the_order_they_started(dify: Database, open_source: Any) -> None:
    run = add_run(
        dify.connection, created_at=AT, finished_at=AT + timedelta(seconds=3), elapsed_time=2.5, total_tokens=2**40,
        inputs='{"q": 1}', outputs='{"a": 2}', error="", exceptions_count=1, total_steps=3,
    )  # fmt: skip
    last = add_node(dify.connection, run, index=3, created_at=AT)
    tied = sorted([add_node(dify.connection, run, index=2, created_at=AT) for _ in range(2)])
    first = add_node(
        dify.connection, run, index=1, created_at=AT, finished_at=AT, title="LLM 大", process_data='{"prompts": []}',
        execution_metadata='{"total_tokens": 30}', elapsed_time=0.75, predecessor_node_id="start",
    )  # fmt: skip
    trace = only_trace(open_source(dify.url), "runs")
    assert [node.id for node in trace.nodes] == [first, *tied, last]
    assert trace.run is not None
    assert (trace.run.id, trace.run.tenant_id, trace.run.app_id, trace.run.workflow_id) == (
        run,
        TENANT,
        FLOW,
        WORKFLOW,
    )
    assert (trace.run.created_at, trace.run.finished_at) == (1795461427433732, 1795461430433732)
    assert (trace.run.elapsed_time, trace.run.total_tokens, trace.run.total_steps) == (2.5, 2**40, 3)
    assert (trace.run.inputs, trace.run.outputs, trace.run.error) == ('{"q": 1}', '{"a": 2}', "")
    node = trace.nodes[0]
    assert (node.workflow_run_id, node.triggered_from, node.index, node.title) == (
        run,
        "workflow-run",
        1,
        "LLM 大",
    )
    assert (node.process_data, node.execution_metadata) == ('{"prompts": []}', '{"total_tokens": 30}')
    assert (node.elapsed_time, node.finished_at, node.predecessor_node_id) == (
        0.75,
        1795461427433732,
        "start",
    )
    assert trace.app.mode == "workflow"
    assert trace.message is None


def test_a_chatflow_message_brings_its_run_and_the_run_is_part_of_it(
    dify: Database, open_source: Any
) -> None:
    message, run, app = chatflow(dify)
    source = open_source(dify.url)
    trace = only_trace(source, "messages")
    assert trace.message is not None
    assert trace.run is not None
    assert (trace.message.id, trace.run.id, trace.app.id, trace.user) == (message, run, app, "alice")
    assert [node.index for node in trace.nodes] == [1, 2]
    runs = fetch_stream(source, "runs")
    assert runs.traces == ()
    assert [(one.ref.id, one.reason) for one in runs.filtered] == [(run, f"part of message {message}")]


def test_a_chatflow_run_whose_message_was_deleted_is_a_trace_of_its_own(
    dify: Database, open_source: Any
) -> None:
    message, run, _ = chatflow(dify)
    dify.connection.execute("DELETE FROM messages WHERE id = %s", [message])
    trace = only_trace(open_source(dify.url), "runs")
    assert (trace.ref.id, trace.message, len(trace.nodes), trace.app.mode) == (run, None, 2, "advanced-chat")


@pytest.mark.parametrize(("minutes", "is_part"), [(-9, True), (9, True), (-11, False), (11, False)])
def test_a_message_is_looked_for_around_its_run(
    dify: Database, open_source: Any, minutes: int, is_part: bool
) -> None:
    chatflow(dify, created_at=AT + timedelta(minutes=minutes))
    runs = fetch_stream(open_source(dify.url), "runs")
    assert (len(runs.filtered), len(runs.traces)) == ((1, 0) if is_part else (0, 1))


def test_dify_1_13_0_moved_resumed_runs_away_from_their_message(dify: Database, open_source: Any) -> None:
    chatflow(dify, created_at=AT - timedelta(days=2))
    dify.connection.execute("UPDATE alembic_version SET version_num = 'fce013ca180e'")
    assert len(fetch_stream(open_source(dify.url), "runs").filtered) == 1


def test_messages_of_other_runs_and_apps_are_not_mistaken_for_the_runs_own(
    dify: Database, open_source: Any
) -> None:
    message, run, _ = chatflow(dify)
    dify.connection.execute("DELETE FROM messages WHERE id = %s", [message])
    add_message(dify.connection, workflow_run_id=run, created_at=AT)
    chatflow(dify)
    runs = fetch_stream(open_source(dify.url), "runs")
    assert [trace.ref.id for trace in runs.traces] == [run]


def test_a_message_whose_run_was_cleaned_away_stands_alone(dify: Database, open_source: Any) -> None:
    message = add_message(dify.connection, workflow_run_id=new_id())
    trace = only_trace(open_source(dify.url), "messages")
    assert (trace.ref.id, trace.run, trace.nodes) == (message, None, ())


def test_an_old_dify_gives_the_same_rows(old_dify: Database, open_source: Any) -> None:
    message, run, _ = chatflow(old_dify)
    plain = add_run(old_dify.connection, created_at=AT)
    node = add_node(old_dify.connection, plain, triggered_from="rag-pipeline-run")
    source = open_source(old_dify.url)
    trace = only_trace(source, "messages")
    assert trace.run is not None
    assert (trace.ref.id, trace.run.id, [n.index for n in trace.nodes]) == (message, run, [1, 2])
    runs = fetch_stream(source, "runs")
    assert [(t.ref.id, [n.id for n in t.nodes]) for t in runs.traces] == [(plain, [node])]
    assert len(runs.filtered) == 1


def test_an_agent_message_brings_its_rounds_in_order_and_its_files(dify: Database, open_source: Any) -> None:
    message = add_message(dify.connection)
    other = add_message(dify.connection)
    for position in (2, 1):
        insert(
            dify.connection, "message_agent_thoughts", message_id=message, position=position, thought=f"round {position}",
            tool="clock", tool_meta_str='{"clock": {}}', message_token=9, answer_token=None, total_price=Decimal("0.00001230"),
            created_at=AT,
        )  # fmt: skip
    insert(dify.connection, "message_agent_thoughts", message_id=other, position=1)
    for side in ("user", None, "assistant", "user"):
        insert(dify.connection, "message_files", message_id=message, type="image", belongs_to=side)
    traces = {trace.ref.id: trace for trace in fetch_stream(open_source(dify.url), "messages").traces}
    trace = traces[message]
    assert [(t.position, t.thought) for t in trace.thoughts] == [(1, "round 1"), (2, "round 2")]
    first = trace.thoughts[0]
    assert (first.tool, first.tool_meta, first.message_token, first.answer_token) == (
        "clock",
        '{"clock": {}}',
        9,
        None,
    )
    assert (str(first.total_price), first.created_at, first.message_id) == (
        "0.00001230",
        to_micros(AT),
        message,
    )
    assert trace.message is not None
    assert trace.message.media == 3, "files of the user, and old rows that do not say whose they are"
    assert len(traces[other].thoughts) == 1


def test_a_single_step_debug_run_is_one_node(dify: Database, open_source: Any) -> None:
    node = add_node(dify.connection, None, created_by_role="account", created_by=ACCOUNT)
    trace = only_trace(open_source(dify.url), "nodes")
    assert ([n.id for n in trace.nodes], trace.run, trace.message, trace.user) == (
        [node],
        None,
        None,
        ACCOUNT,
    )


def test_offloaded_columns_are_named(dify: Database, open_source: Any) -> None:
    run = add_run(dify.connection, created_at=AT)
    node, step = add_node(dify.connection, run), add_node(dify.connection, None)
    for owner, column in ((node, "outputs"), (node, "inputs"), (step, "process_data"), (new_id(), "inputs")):
        insert(dify.connection, "workflow_node_execution_offload", node_execution_id=owner, type=column)
    source = open_source(dify.url)
    assert only_trace(source, "runs").nodes[0].offloaded == ("inputs", "outputs")
    assert only_trace(source, "nodes").nodes[0].offloaded == ("process_data",)


def test_numbers_that_are_none_become_unknown(dify: Database, open_source: Any) -> None:
    run = add_run(dify.connection, created_at=AT, elapsed_time=float("nan"))
    add_node(dify.connection, run, elapsed_time=float("inf"))
    message = add_message(dify.connection)
    insert(
        dify.connection, "message_agent_thoughts", message_id=message, position=1, total_price=Decimal("NaN")
    )
    source = open_source(dify.url)
    trace = only_trace(source, "runs")
    assert trace.run is not None
    assert (trace.run.elapsed_time, trace.nodes[0].elapsed_time) == (None, None)
    assert only_trace(source, "messages").thoughts[0].total_price is None


# ── who ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_user_is_the_end_users_session_or_the_account(dify: Database, open_source: Any) -> None:
    people = {
        add_run(dify.connection, created_at=AT): "alice",
        add_run(dify.connection, created_at=AT, created_by_role="account", created_by=ACCOUNT): ACCOUNT,
        add_run(dify.connection, created_at=AT, created_by=new_id()): None,
        add_message(dify.connection): "alice",
        add_message(dify.connection, from_end_user_id=None, from_account_id=ACCOUNT): ACCOUNT,
        add_message(dify.connection, from_end_user_id=new_id()): None,
    }
    source = open_source(dify.url)
    traces = [t for stream in ("messages", "runs") for t in fetch_stream(source, stream).traces]
    assert {trace.ref.id: trace.user for trace in traces} == people


def test_records_of_deleted_apps_keep_what_they_know_of_the_app(dify: Database, open_source: Any) -> None:
    gone = new_id()
    expected = {
        add_message(dify.connection, app_id=gone, app_mode="agent-chat"): "agent-chat",
        add_run(dify.connection, app_id=new_id(), created_at=AT): "workflow",
        add_run(dify.connection, app_id=new_id(), created_at=AT, type="chat"): "advanced-chat",
        add_run(dify.connection, app_id=new_id(), created_at=AT, type="rag-pipeline"): "rag-pipeline",
    }
    source = open_source(dify.url)
    traces = [t for stream in ("messages", "runs") for t in fetch_stream(source, stream).traces]
    assert {trace.ref.id: trace.app.mode for trace in traces} == expected
    assert {trace.app.name for trace in traces} == {"(deleted app)"}
    assert {trace.app.tenant_id for trace in traces if trace.run} == {TENANT}


def test_a_knowledge_pipeline_stands_for_an_app(dify: Database, open_source: Any) -> None:
    pipeline = insert(dify.connection, "pipelines", tenant_id=TENANT, name="Handbook")
    run = add_run(
        dify.connection,
        app_id=pipeline,
        type="rag-pipeline",
        triggered_from="rag-pipeline-run",
        created_at=AT,
    )
    add_node(dify.connection, run, app_id=pipeline, triggered_from="rag-pipeline-run")
    trace = only_trace(open_source(dify.url), "runs")
    assert (trace.app.name, trace.app.mode, trace.app.tenant_name, len(trace.nodes)) == (
        "Handbook",
        "rag-pipeline",
        "Acme",
        1,
    )


# ── workflow tools ──────────────────────────────────────────────────────────────────────────────────────────


def outer_run(dify: Database, **values: Any) -> tuple[str, str, str]:
    """A run whose tool node runs another app's workflow; returns run, provider and the child's app."""
    inner = insert(dify.connection, "apps", tenant_id=TENANT, name="Inner", mode="workflow")
    provider = insert(
        dify.connection, "tool_workflow_providers", name="inner", app_id=inner, tenant_id=TENANT
    )
    run = add_run(dify.connection, **{"created_at": AT, "finished_at": AT + timedelta(seconds=10), **values})
    add_node(dify.connection, run, node_type="tool", execution_metadata=workflow_tool(provider))
    return run, provider, inner


def child(dify: Database, app: str, **values: Any) -> str:
    return add_run(
        dify.connection,
        **{
            "app_id": app,
            "created_at": AT + timedelta(seconds=1),
            "inputs": '{"t": 1}',
            "total_tokens": 43,
            **values,
        },
    )


def trace_of(source: Any, run: str) -> Any:
    return next(trace for trace in fetch_stream(source, "runs").traces if trace.ref.id == run)


def test_the_run_that_a_workflow_tool_started_is_a_candidate(dify: Database, open_source: Any) -> None:
    run, provider, inner = outer_run(dify)
    started = child(dify, inner)
    child(dify, inner, created_at=AT + timedelta(seconds=11))
    child(dify, inner, created_at=AT - timedelta(seconds=1))
    child(dify, inner, created_by=new_id())
    child(dify, FLOW)
    trace = trace_of(open_source(dify.url), run)
    assert trace.tool_apps == ((provider, inner),)
    assert [(c.id, c.app_id, c.inputs, c.total_tokens, c.created_by) for c in trace.child_runs] == [
        (started, inner, '{"t": 1}', 43, USER)
    ]
    assert trace.child_runs[0].created_at == to_micros(AT + timedelta(seconds=1))


def test_a_workflow_that_calls_itself_is_not_its_own_child(dify: Database, open_source: Any) -> None:
    run, provider, _ = outer_run(dify)
    dify.connection.execute("UPDATE tool_workflow_providers SET app_id = %s WHERE id = %s", [FLOW, provider])
    nested = child(dify, FLOW)
    assert [c.id for c in trace_of(open_source(dify.url), run).child_runs] == [nested]


def test_a_chatflow_and_a_single_step_have_candidates_too(dify: Database, open_source: Any) -> None:
    _, provider, inner = outer_run(dify)
    _, run, app = chatflow(dify)
    dify.connection.execute(
        "UPDATE workflow_runs SET finished_at = %s WHERE id = %s", [AT + timedelta(seconds=9), run]
    )
    add_node(dify.connection, run, app_id=app, node_type="tool", execution_metadata=workflow_tool(provider))
    add_node(
        dify.connection,
        None,
        node_type="tool",
        execution_metadata=workflow_tool(provider),
        created_at=AT,
        finished_at=AT + timedelta(seconds=5),
    )
    started = child(dify, inner)
    source = open_source(dify.url)
    assert [c.id for c in only_trace(source, "messages").child_runs] == [started]
    assert [c.id for c in only_trace(source, "nodes").child_runs] == [started]


def test_too_many_candidates_are_none(dify: Database, open_source: Any) -> None:
    run, _, inner = outer_run(dify)
    for _ in range(MOST_CHILDREN):
        child(dify, inner)
    source = open_source(dify.url)
    assert len(trace_of(source, run).child_runs) == MOST_CHILDREN
    child(dify, inner)
    assert trace_of(source, run).child_runs == ()


def test_a_parent_that_never_finished_has_candidates_of_an_hour(dify: Database, open_source: Any) -> None:
    run, _, inner = outer_run(dify, finished_at=None, status="running")
    within = child(dify, inner, created_at=AT + timedelta(minutes=50))
    child(dify, inner, created_at=AT + timedelta(minutes=70))
    assert [c.id for c in trace_of(open_source(dify.url), run).child_runs] == [within]


@pytest.mark.parametrize("metadata", [None, "", "{}", "[]", "not json \"workflow\"", '{"tool_info": "workflow"}', '{"tool_info": {"provider_type": "workflow", "provider_id": "x"}}', '{"tool_info": {"provider_type": "workflow", "provider_id": 7}}'])  # fmt: skip
def test_tool_nodes_with_odd_metadata_are_just_nodes(
    dify: Database, open_source: Any, metadata: str | None
) -> None:
    run = add_run(dify.connection, created_at=AT)
    add_node(dify.connection, run, node_type="tool", execution_metadata=metadata)
    trace = only_trace(open_source(dify.url), "runs")
    assert (len(trace.nodes), trace.tool_apps, trace.child_runs) == (1, (), ())


def test_an_old_dify_is_not_searched_for_children(old_dify: Database, open_source: Any) -> None:
    run, provider, inner = outer_run(old_dify)
    child(old_dify, inner)
    trace = trace_of(open_source(old_dify.url), run)
    assert (trace.tool_apps, trace.child_runs) == (((provider, inner),), ())


# ── what is not answered with a trace ───────────────────────────────────────────────────────────────────────


def test_rows_that_vanish_between_discovery_and_fetch_are_said_to_be_gone(
    dify: Database, open_source: Any
) -> None:
    kept, gone = (add_message(dify.connection) for _ in range(2))
    source = open_source(dify.url)
    refs, _ = until_caught_up(source, "messages")
    dify.connection.execute("DELETE FROM messages WHERE id = %s", [gone])
    fetched = source.fetch(tuple(refs))
    assert [trace.ref.id for trace in fetched.traces] == [kept]
    assert ids(list(fetched.vanished)) == [gone]


def test_no_refs_and_repeated_refs_and_impossible_refs_are_answered(dify: Database, open_source: Any) -> None:
    message = add_message(dify.connection)
    source = open_source(dify.url)
    assert source.fetch(()) == Fetched()
    refs, _ = until_caught_up(source, "messages")
    assert [trace.ref.id for trace in source.fetch((refs[0], refs[0])).traces] == [message]
    unknown = RecordRef(RecordKind.RUN, new_id(), 0)
    assert source.fetch((unknown,)).vanished == (unknown,)
    nonsense = RecordRef(RecordKind.RUN, "not-a-uuid", 0)
    answered = fetch_all(source, [refs[0], nonsense])
    assert [trace.ref.id for trace in answered.traces] == [message]
    assert [ref for ref, _ in answered.failed] == [nonsense]


def test_one_row_that_cannot_be_decoded_does_not_take_its_page_with_it(server: Any, open_source: Any) -> None:
    name = server.create(f"ascii_{new_id()[:8]}", "ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        create_tables(connection, SHAPE_1_12)
        good = [add_message(connection, created_at=ago(minutes=10 + n)) for n in range(7)]
        bad = add_message(connection, created_at=ago(minutes=13.5))
        connection.execute("UPDATE messages SET query = E'secret prompt \\xff' WHERE id = %s", [bad])
    source = open_source(server.url(name))
    fetched = fetch_stream(source, "messages")
    assert {trace.ref.id for trace in fetched.traces} == set(good)
    assert [ref.id for ref, _ in fetched.failed] == [bad]
    assert "22021" in fetched.failed[0][1], "PostgreSQL's code for text that its encoding cannot hold"
    assert "secret" not in fetched.failed[0][1]
    source.close()
    server.drop(name)


def test_one_row_with_a_value_beyond_its_type_does_not_take_its_page_with_it(
    dify: Database, open_source: Any
) -> None:
    good = add_run(dify.connection, created_at=AT)
    bad = add_run(dify.connection, created_at=AT)
    dify.connection.execute("UPDATE workflow_runs SET finished_at = 'infinity' WHERE id = %s", [bad])
    fetched = fetch_stream(open_source(dify.url), "runs")
    assert [trace.ref.id for trace in fetched.traces] == [good]
    assert [ref.id for ref, _ in fetched.failed] == [bad]


# ── memory ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_page_is_answered_up_to_its_bytes_and_the_rest_is_asked_again(
    dify: Database, open_source: Any
) -> None:
    for second in range(10):
        run = add_run(dify.connection, created_at=AT + timedelta(seconds=second))
        for _ in range(2):
            add_node(dify.connection, run, process_data="é" * 75_000)  # 150,000 bytes each
    source = open_source(dify.url, page_bytes=1_000_000)
    refs, _ = until_caught_up(source, "runs")
    assert [len(source.fetch(tuple(refs[start:])).traces) for start in (0, 3, 6, 9)] == [3, 3, 3, 1]
    assert [trace.ref for trace in fetch_all(source, refs).traces] == refs


def test_a_prompt_of_fifty_megabytes_is_read_alone_and_whole(dify: Database, open_source: Any) -> None:
    small = [add_run(dify.connection, created_at=AT + timedelta(seconds=second)) for second in (0, 2)]
    large = add_run(dify.connection, created_at=AT + timedelta(seconds=1))
    add_node(dify.connection, large)
    dify.connection.execute(
        "UPDATE workflow_node_executions SET process_data = repeat('prompt ', 7500000) WHERE workflow_run_id = %s",
        [large],
    )
    source = open_source(dify.url)
    refs, _ = until_caught_up(source, "runs")
    answers = [source.fetch(tuple(refs[start:])).traces for start in (0, 1, 2)]
    assert [[trace.ref.id for trace in traces] for traces in answers] == [[small[0]], [large], [small[1]]]
    assert len(answers[1][0].nodes[0].process_data or "") == 52_500_000


def test_json_prompts_and_agent_rounds_count_as_bytes_too(dify: Database, open_source: Any) -> None:
    for _ in range(2):
        add_message(dify.connection, message='"' + "x" * 600_000 + '"')
    rounds = [add_message(dify.connection) for _ in range(2)]
    for message in rounds:
        insert(
            dify.connection,
            "message_agent_thoughts",
            message_id=message,
            position=1,
            observation="x" * 600_000,
        )
    source = open_source(dify.url, page_bytes=1_000_000)
    refs, _ = until_caught_up(source, "messages")
    assert [len(source.fetch(tuple(refs[start:])).traces) for start in range(4)] == [1, 1, 1, 1]


def test_a_trace_beyond_all_bounds_is_refused_by_size_and_not_read(dify: Database, open_source: Any) -> None:
    large, small = (add_run(dify.connection, created_at=AT + timedelta(seconds=n)) for n in range(2))
    add_node(dify.connection, large, outputs="x" * 1_400_000)
    source = open_source(dify.url, page_bytes=10_000)
    refs, _ = until_caught_up(source, "runs")
    fetched = source.fetch(tuple(refs))
    assert [trace.ref.id for trace in fetched.traces] == [small]
    assert [ref.id for ref, _ in fetched.failed] == [large]
    assert "1400010 bytes" in fetched.failed[0][1]
    assert "dify.page_bytes" in fetched.failed[0][1]


# ── filters ─────────────────────────────────────────────────────────────────────────────────────────────────


def reasons(dify: Database, open_source: Any, **settings: Any) -> dict[str, str]:
    """Record id → why it was left out, over all streams."""
    source = open_source(dify.url, **settings)
    filtered = [one for stream in source.streams for one in fetch_stream(source, stream).filtered]
    return {one.ref.id: one.reason for one in filtered}


def test_debug_runs_are_exported_unless_they_are_switched_off(dify: Database, open_source: Any) -> None:
    debug = {
        add_message(dify.connection, invoke_from="debugger"),
        add_run(dify.connection, created_at=AT, triggered_from="debugging"),
        add_run(dify.connection, created_at=AT, triggered_from="rag-pipeline-debugging"),
        add_node(dify.connection, None),
    }
    add_message(dify.connection, invoke_from="web-app")
    add_run(dify.connection, created_at=AT)
    assert reasons(dify, open_source) == {}
    left_out = reasons(dify, open_source, debug_runs=False)
    assert set(left_out) == debug
    assert set(left_out.values()) == {"a debug run, and dify.debug_runs is off"}


@pytest.mark.parametrize(
    ("filters", "left_out"),
    [
        ({"include": {"apps": ["Report"]}}, "message"),
        ({"include": {"apps": [FLOW]}}, "message"),
        ({"exclude": {"apps": ["Support chat"]}}, "message"),
        ({"exclude": {"apps": [APP]}}, "message"),
        ({"include": {"modes": ["workflow", "advanced-chat"]}}, "message"),
        ({"exclude": {"modes": ["chat"]}}, "message"),
        ({"include": {"workspaces": ["Acme"]}}, None),
        ({"include": {"workspaces": [TENANT], "apps": ["Report"]}}, "message"),
        ({"include": {"workspaces": ["Other"]}}, "both"),
        ({"exclude": {"workspaces": [TENANT]}}, "both"),
        ({"exclude": {"workspaces": ["Acme"]}, "include": {"apps": ["Report"]}}, "both"),
    ],
)
def test_workspaces_apps_and_modes_are_filtered_by_name_or_id(
    dify: Database, open_source: Any, filters: dict[str, Any], left_out: str | None
) -> None:
    message, run = add_message(dify.connection), add_run(dify.connection, created_at=AT)
    expected = {None: set(), "message": {message}, "both": {message, run}}[left_out]
    found = reasons(dify, open_source, **filters)
    assert set(found) == expected
    assert all("dify.include." in reason or "dify.exclude." in reason for reason in found.values())


def test_a_filtered_record_is_not_read(dify: Database, open_source: Any) -> None:
    run = add_run(dify.connection, created_at=AT)
    dify.connection.execute("UPDATE workflow_runs SET finished_at = 'infinity'")
    assert reasons(dify, open_source, exclude={"modes": ["workflow"]}).keys() == {run}


def test_a_message_comes_with_its_conversation_s_name(dify: Database, open_source: Any) -> None:
    named = insert(dify.connection, "conversations", app_id=APP, name="Warranty question")
    add_message(dify.connection, created_at=AT, conversation_id=named)
    add_message(dify.connection, created_at=AT, conversation_id=WORKFLOW)
    names = {
        trace.message.conversation_id: trace.message.conversation_name
        for trace in fetch_stream(open_source(dify.url), "messages").traces
        if trace.message is not None
    }
    assert names == {named: "Warranty question", WORKFLOW: None}


def test_without_the_conversations_a_message_is_read_and_status_says_what_is_missing(
    dify: Database, open_source: Any
) -> None:
    dify.connection.execute("DROP TABLE conversations")
    add_message(dify.connection, created_at=AT, conversation_id=WORKFLOW)
    source = open_source(dify.url)
    row = only_trace(source, "messages").message
    assert row is not None
    assert row.conversation_name is None
    assert any("title" in words for _, words in source.describe())
