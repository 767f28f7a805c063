"""What is known of a record before its texts are read: who it belongs to, whether it is debug, and how large it is.

Filters and the memory bound are decided on heads, so that nothing is read only to be thrown away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from exporter.model import Micros, RecordKind, RecordRef
from exporter.sources.dialects.base import Asked, Question
from exporter.sources.schema import Schema
from exporter.sources.tables import (
    as_default,
    as_text,
    octets,
    one_of,
    plain,
    read_rows,
    table,
    written_by_default,
)
from exporter.sources.timestamps import to_micros, to_naive

_DEBUG_RUNS = ("debugging", "rag-pipeline-debugging")

_AROUND: Micros = 600 * 1_000_000
"""A chatflow's message is created within this time of its run."""

_BEFORE_RESUMED: Micros = 7 * 86_400 * 1_000_000
"""Dify 1.13.0 moves a run's created_at when it resumes, away from its message's (mended in 1.13.1)."""


@dataclass(frozen=True, slots=True)
class Head:
    """One record. `mode` is what the row itself tells of its app's mode; `size_bytes` counts the record's own text;
    `run_id` is the run whose nodes belong to it."""

    ref: RecordRef
    app_id: str
    tenant_id: str | None
    mode: str
    is_debug: bool
    size_bytes: int
    created_at: Micros
    run_id: str | None = None
    is_chat_run: bool = False


@dataclass(frozen=True, slots=True)
class HeadSelects:
    """The statements, made once per schema."""

    messages: sa.Executable
    runs: sa.Executable
    nodes: sa.Executable
    run_sizes: sa.Executable
    node_sizes: sa.Executable
    thought_sizes: sa.Executable | None
    message_lookback: Micros
    schema: Schema


def head_selects(schema: Schema) -> HeadSelects:
    """Build them for this Dify."""
    messages, runs = table(schema, "messages"), table(schema, "workflow_runs")
    nodes, thoughts = table(schema, "workflow_node_executions"), table(schema, "message_agent_thoughts")
    node_source, is_wanted = nodes_of_runs(schema, nodes)
    message_size = octets(
        [
            *plain(messages, "query", "answer", "override_model_configs", "message_metadata", "error"),
            *as_text(messages, "inputs", "message"),
        ]
    )
    run_size = octets(plain(runs, "inputs", "outputs", "error"))
    node_size = octets(plain(nodes, "inputs", "process_data", "outputs", "execution_metadata", "error"))
    thought_size = octets(plain(thoughts, "thought", "tool_input", "tool_meta_str", "observation", "answer"))
    return HeadSelects(
        messages=sa.select(
            *as_text(messages, "id", "app_id"),
            written_by_default(schema, messages.c.created_at),
            *as_text(messages, "workflow_run_id"),
            *plain(messages, "invoke_from", "app_mode"),
            message_size,
        ).where(one_of(schema, messages.c.id)),
        runs=sa.select(
            *as_text(runs, "id", "app_id"),
            runs.c.created_at,
            *as_text(runs, "tenant_id"),
            *plain(runs, "triggered_from", "type"),
            run_size,
        ).where(one_of(schema, runs.c.id)),
        nodes=sa.select(
            *as_text(nodes, "id", "app_id"), nodes.c.created_at, *as_text(nodes, "tenant_id"), node_size
        ).where(one_of(schema, nodes.c.id)),
        run_sizes=sa.select(*as_text(runs, "id"), run_size).where(one_of(schema, runs.c.id)),
        node_sizes=sa.select(sa.cast(nodes.c.workflow_run_id, sa.Text), sa.func.sum(node_size))
        .select_from(node_source)
        .where(is_wanted)
        .group_by(nodes.c.workflow_run_id),
        thought_sizes=sa.select(sa.cast(thoughts.c.message_id, sa.Text), sa.func.sum(thought_size))
        .where(one_of(schema, thoughts.c.message_id))
        .group_by(thoughts.c.message_id)
        if schema.has("message_agent_thoughts", "id", "message_id")
        else None,
        message_lookback=_BEFORE_RESUMED if schema.releases.overlap("1.13.0", "1.13.1") else _AROUND,
        schema=schema,
    )


def nodes_of_runs(schema: Schema, nodes: sa.TableClause) -> tuple[sa.FromClause, sa.ColumnElement[bool]]:
    """Where to select the nodes of runs from, and the condition that the run is one of the parameter `ids`.

    Before 1.12.0 the only index that finds them needs five columns; the run's own row gives them.
    """
    keys = ("tenant_id", "app_id", "workflow_id")
    has_keys = schema.has("workflow_runs", *keys) and schema.has("workflow_node_executions", *keys)
    if schema.has_index("workflow_node_executions", "workflow_run_id") or not has_keys:
        return nodes, one_of(schema, nodes.c.workflow_run_id)
    runs = table(schema, "workflow_runs")
    same = sa.and_(
        nodes.c.tenant_id == runs.c.tenant_id,
        nodes.c.app_id == runs.c.app_id,
        nodes.c.workflow_id == runs.c.workflow_id,
        nodes.c.triggered_from.in_(("workflow-run", "rag-pipeline-run")),
        nodes.c.workflow_run_id == runs.c.id,
    )
    return runs.join(nodes, same), one_of(schema, runs.c.id)


def read_heads(
    connection: sa.Connection, selects: HeadSelects, refs: Iterable[RecordRef]
) -> dict[RecordRef, Head]:
    """The heads of the records that exist."""
    wanted: dict[RecordKind, dict[str, RecordRef]] = {kind: {} for kind in RecordKind}
    for ref in refs:
        wanted[ref.kind][ref.id] = ref
    heads: dict[RecordRef, Head] = {}
    readers = (
        (RecordKind.MESSAGE, selects.messages, _message_head),
        (RecordKind.RUN, selects.runs, _run_head),
        (RecordKind.NODE, selects.nodes, _node_head),
    )
    for kind, select, make in readers:
        if wanted[kind]:
            for row in read_rows(connection, select, list(wanted[kind])):
                ref = wanted[kind][row[0]]
                heads[ref] = make(ref, row)
    return heads


def _message_head(ref: RecordRef, row: tuple[Any, ...]) -> Head:
    _, app_id, created_at, run_id, invoke_from, app_mode, size = row
    mode = app_mode or ("advanced-chat" if run_id else "chat")
    return Head(ref, app_id, None, mode, invoke_from == "debugger", size, to_micros(created_at), run_id)


def _run_head(ref: RecordRef, row: tuple[Any, ...]) -> Head:
    row_id, app_id, created_at, tenant_id, triggered_from, kind, size = row
    mode = "advanced-chat" if kind == "chat" else kind or "workflow"
    is_debug = triggered_from in _DEBUG_RUNS
    return Head(ref, app_id, tenant_id, mode, is_debug, size, to_micros(created_at), row_id, kind == "chat")


def _node_head(ref: RecordRef, row: tuple[Any, ...]) -> Head:
    _, app_id, created_at, tenant_id, size = row
    return Head(ref, app_id, tenant_id, "workflow", True, size, to_micros(created_at))


def read_sizes(
    connection: sa.Connection, selects: HeadSelects, heads: Iterable[Head]
) -> dict[RecordRef, int]:
    """The bytes of text of each whole trace. Lengths only: PostgreSQL keeps them beside its large values."""
    heads = list(heads)
    of_messages = [head for head in heads if head.ref.kind is RecordKind.MESSAGE]
    runs = [head.run_id for head in of_messages if head.run_id]
    all_runs = [head.run_id for head in heads if head.run_id]
    own = _sizes(connection, selects.run_sizes, runs)
    nodes = _sizes(connection, selects.node_sizes, all_runs)
    rounds = _sizes(
        connection, selects.thought_sizes, [head.ref.id for head in of_messages if not head.run_id]
    )
    return {
        head.ref: head.size_bytes
        + (own.get(head.run_id, 0) + nodes.get(head.run_id, 0) if head.run_id else rounds.get(head.ref.id, 0))
        for head in heads
    }


def _sizes(connection: sa.Connection, select: sa.Executable | None, ids: list[str]) -> dict[str, int]:
    if select is None or not ids:
        return {}
    return {row_id: int(size) for row_id, size in read_rows(connection, select, ids)}


def messages_of_runs(
    connection: sa.Connection, selects: HeadSelects, heads: Iterable[Head]
) -> dict[str, str]:
    """Run id → message id, for the chatflow runs whose message still exists.

    One index look-up a run, by (app_id, created_at): there is no index on messages.workflow_run_id.
    """
    schema = selects.schema
    rows = [
        (
            head.ref.id,
            head.app_id,
            to_naive(head.created_at - selects.message_lookback),
            to_naive(head.created_at + _AROUND),
        )
        for head in heads
        if head.is_chat_run
    ]
    if not rows or not schema.has("messages", "workflow_run_id"):
        return {}
    messages = table(schema, "messages")

    def message(run: Question) -> sa.Select[Any]:
        is_around = messages.c.created_at.between(
            as_default(schema, run["since"]), as_default(schema, run["until"])
        )
        is_its_own = messages.c.workflow_run_id == run["run_id"]
        found = sa.select(*as_text(messages, "id"))
        return found.where(messages.c.app_id == run["app_id"], is_around, is_its_own).limit(1)

    asked = Asked(("run_id", "app_id"), ("since", "until"), rows)
    return dict(schema.dialect.answers(connection, asked, message))
