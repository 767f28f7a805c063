"""The full rows of chosen records: one statement a table, plain tuples in a fixed order, turned into row types.

This is the hot path: no objects in between, and a row type is built from its tuple by position.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import sqlalchemy as sa

from exporter.model import Micros
from exporter.sources.heads import nodes_of_runs
from exporter.sources.rows import MessageRow, NodeRow, RunRow, ThoughtRow
from exporter.sources.schema import Schema
from exporter.sources.tables import Column, as_text, one_of, plain, read_rows, table, written_by_default
from exporter.sources.timestamps import end_of, to_micros

_OFFLOADABLE = ("inputs", "process_data", "outputs")

_CAST = frozenset(
    {"id", "app_id", "tenant_id", "conversation_id", "workflow_id", "workflow_run_id", "message_id"}
    | {"from_end_user_id", "from_account_id", "created_by"}
)
"""Ids, which the database turns into text."""

_JSON = ("inputs", "message")
"""Columns of `messages` of type json."""

_NAMED_OTHERWISE = {"tool_meta": "tool_meta_str"}


@dataclass(frozen=True, slots=True)
class _Places:
    """Positions in a row that need converting."""

    times: tuple[int, ...]
    numbers: tuple[int, ...]


def _places(row_type: type) -> _Places:
    names = [field.name for field in fields(row_type)]
    times = ("created_at", "finished_at", "updated_at")
    numbers = (
        "message_unit_price",
        "message_price_unit",
        "answer_unit_price",
        "answer_price_unit",
        "total_price",
        "provider_response_latency",
        "elapsed_time",
    )
    return _Places(
        tuple(names.index(name) for name in times if name in names),
        tuple(names.index(name) for name in numbers if name in names),
    )


_MESSAGE, _THOUGHT, _RUN, _NODE = map(_places, (MessageRow, ThoughtRow, RunRow, NodeRow))
_CONVERSATION = [field.name for field in fields(MessageRow)].index("conversation_id")


@dataclass(frozen=True, slots=True)
class RowSelects:
    """The statements, made once per schema; None where this Dify lacks the table. All take the parameter `ids`."""

    messages: sa.Executable
    conversation_names: sa.Executable | None
    runs: sa.Executable
    nodes: sa.Executable
    nodes_of_runs: sa.Executable
    thoughts: sa.Executable | None
    media: sa.Executable | None
    offloads: sa.Executable | None
    offloads_of_runs: sa.Executable | None
    has_whole_seconds: bool


def row_selects(schema: Schema) -> RowSelects:
    """Build them for this Dify."""
    messages, runs = table(schema, "messages"), table(schema, "workflow_runs")
    nodes = table(schema, "workflow_node_executions")
    source, is_wanted = nodes_of_runs(schema, nodes)
    offload = schema.has("workflow_node_execution_offload", "node_execution_id", "type")
    return RowSelects(
        messages=sa.select(*_columns(schema, messages, MessageRow, "media", "conversation_name")).where(
            one_of(schema, messages.c.id)
        ),
        conversation_names=_conversation_names(schema),
        runs=sa.select(*_columns(schema, runs, RunRow)).where(one_of(schema, runs.c.id)),
        nodes=sa.select(*_columns(schema, nodes, NodeRow, "offloaded")).where(one_of(schema, nodes.c.id)),
        nodes_of_runs=sa.select(*_columns(schema, nodes, NodeRow, "offloaded"))
        .select_from(source)
        .where(is_wanted),
        thoughts=_thoughts(schema),
        media=_media(schema),
        offloads=_offloads(schema, nodes, nodes, one_of(schema, nodes.c.id)) if offload else None,
        offloads_of_runs=_offloads(schema, nodes, source, is_wanted) if offload else None,
        has_whole_seconds=schema.server.has_whole_seconds,
    )


def _columns(schema: Schema, source: sa.TableClause, row_type: type, *not_columns: str) -> list[Column]:
    """The columns in the order of the row type's fields, so that a result fits it by position."""
    columns: list[Column] = []
    for field in fields(row_type):
        if field.name not in not_columns:
            name = _NAMED_OTHERWISE.get(field.name, field.name)
            if row_type is MessageRow and name == "created_at":
                columns.append(written_by_default(schema, source.c[name]))
                continue
            if row_type is MessageRow and name == "updated_at" and schema.server.clock.zone:
                columns.append(sa.null().label(name))  # Dify sets it in UTC, the database in its own zone
                continue
            is_cast = name in _CAST or (row_type is MessageRow and name in _JSON)
            columns += as_text(source, name) if is_cast else plain(source, name)
    return columns


def _thoughts(schema: Schema) -> sa.Executable | None:
    if not schema.has("message_agent_thoughts", "id", "message_id", "position", "created_at"):
        return None
    thoughts = table(schema, "message_agent_thoughts")
    return sa.select(*_columns(schema, thoughts, ThoughtRow, "tokens")).where(
        one_of(schema, thoughts.c.message_id)
    )


def _media(schema: Schema) -> sa.Executable | None:
    """Files of the user's side. `belongs_to` is NULL in old rows, which are all the user's."""
    if not schema.has("message_files", "message_id"):
        return None
    files = table(schema, "message_files")
    select = sa.select(sa.cast(files.c.message_id, sa.Text), sa.func.count()).where(
        one_of(schema, files.c.message_id)
    )
    if "belongs_to" in files.c:
        select = select.where(sa.func.coalesce(files.c.belongs_to, "user") == "user")
    return select.group_by(files.c.message_id)


def _conversation_names(schema: Schema) -> sa.Executable | None:
    if not schema.has("conversations", "id", "name"):
        return None
    conversations = table(schema, "conversations")
    return sa.select(*as_text(conversations, "id"), conversations.c.name).where(
        one_of(schema, conversations.c.id)
    )


def _offloads(
    schema: Schema, nodes: sa.TableClause, source: sa.FromClause, is_wanted: sa.ColumnElement[bool]
) -> sa.Executable:
    """`node_execution_id` of the offload table is the node row's `id`, not its column of the same name."""
    offload = table(schema, "workflow_node_execution_offload")
    joined = source.join(offload, offload.c.node_execution_id == nodes.c.id)
    return (
        sa.select(sa.cast(offload.c.node_execution_id, sa.Text), offload.c.type)
        .select_from(joined)
        .where(is_wanted)
    )


def read_messages(connection: sa.Connection, selects: RowSelects, ids: list[str]) -> dict[str, MessageRow]:
    """Messages by id."""
    if not ids:
        return {}
    media = dict(_pairs(connection, selects.media, ids))
    rows = read_rows(connection, selects.messages, ids)
    conversations = sorted({row[_CONVERSATION] for row in rows if row[_CONVERSATION]})
    names = dict(_pairs(connection, selects.conversation_names, conversations))
    return {row[0]: _message(row, media.get(row[0], 0), names.get(row[_CONVERSATION])) for row in rows}


def read_runs(connection: sa.Connection, selects: RowSelects, ids: list[str]) -> dict[str, RunRow]:
    """Runs by id."""
    if not ids:
        return {}
    return {row[0]: _run(selects, row) for row in read_rows(connection, selects.runs, ids)}


def read_nodes(connection: sa.Connection, selects: RowSelects, ids: list[str]) -> dict[str, NodeRow]:
    """Single nodes by id."""
    if not ids:
        return {}
    offloaded = _offloaded(_pairs(connection, selects.offloads, ids))
    rows = read_rows(connection, selects.nodes, ids)
    return {row[0]: _node(selects, row, offloaded.get(row[0], ())) for row in rows}


def read_nodes_of_runs(
    connection: sa.Connection, selects: RowSelects, ids: list[str]
) -> dict[str, tuple[NodeRow, ...]]:
    """Nodes by run id, in the order they started."""
    if not ids:
        return {}
    offloaded = _offloaded(_pairs(connection, selects.offloads_of_runs, ids))
    nodes: dict[str, list[NodeRow]] = {}
    for row in read_rows(connection, selects.nodes_of_runs, ids):
        nodes.setdefault(row[5], []).append(_node(selects, row, offloaded.get(row[0], ())))
    return {run_id: tuple(sorted(rows, key=_node_order)) for run_id, rows in nodes.items()}


def read_thoughts(
    connection: sa.Connection, selects: RowSelects, ids: list[str]
) -> dict[str, tuple[ThoughtRow, ...]]:
    """Agent rounds by message id, in order."""
    thoughts: dict[str, list[ThoughtRow]] = {}
    if selects.thoughts is None or not ids:
        return {}
    for row in read_rows(connection, selects.thoughts, ids):
        thoughts.setdefault(row[1], []).append(_thought(row))
    return {
        message_id: tuple(
            sorted(rows, key=lambda thought: (thought.position, thought.created_at, thought.id))
        )
        for message_id, rows in thoughts.items()
    }


def _pairs(
    connection: sa.Connection, select: sa.Executable | None, ids: list[str]
) -> Iterable[tuple[str, Any]]:
    if select is None or not ids:
        return ()
    return [(row_id, value) for row_id, value in read_rows(connection, select, ids)]


def _offloaded(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for node_id, column in pairs:
        found.setdefault(node_id, set()).add(column)
    return {node_id: tuple(c for c in _OFFLOADABLE if c in columns) for node_id, columns in found.items()}


def _node_order(node: NodeRow) -> tuple[int, int, str]:
    return (node.index or 0, node.created_at, node.id)


def _message(row: tuple[Any, ...], media: int, conversation_name: str | None) -> MessageRow:
    return MessageRow(*_converted([*row, media, conversation_name], _MESSAGE))


def _thought(row: tuple[Any, ...]) -> ThoughtRow:
    return ThoughtRow(*_converted([*row], _THOUGHT))


def _run(selects: RowSelects, row: tuple[Any, ...]) -> RunRow:
    run = RunRow(*_converted([*row], _RUN))
    return replace(run, finished_at=_end(run)) if selects.has_whole_seconds else run


def _node(selects: RowSelects, row: tuple[Any, ...], offloaded: tuple[str, ...]) -> NodeRow:
    node = NodeRow(*_converted([*row, offloaded], _NODE))
    return replace(node, finished_at=_end(node)) if selects.has_whole_seconds else node


def _end(row: RunRow | NodeRow) -> Micros | None:
    return end_of(row.created_at, row.elapsed_time, row.finished_at)


def _converted(values: list[Any], places: _Places) -> list[Any]:
    """Times become `Micros`. NaN and infinity, which PostgreSQL's numbers may be, are no use to anyone: unknown."""
    for place in places.times:
        if values[place] is not None:
            values[place] = to_micros(values[place])
    for place in places.numbers:
        if values[place] is not None and not math.isfinite(values[place]):
            values[place] = None
    return values
