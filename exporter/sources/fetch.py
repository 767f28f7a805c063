"""From refs to `TraceRows`: one consistent read of everything that belongs to the records, bounded in memory.

Order of work: heads (who, how large) → what is gone, filtered, or part of another trace → as many traces as fit the
byte limit → their rows, one statement a table. A ref that did not fit is simply not answered and is asked again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from exporter.config import DifySettings
from exporter.model import SECOND, App, Micros, RecordKind, RecordRef
from exporter.sources.filters import reason_to_leave_out
from exporter.sources.graphs import graphs_of, lacks_a_model
from exporter.sources.heads import Head, HeadSelects, messages_of_runs, read_heads, read_sizes
from exporter.sources.links import Parent, apps_of_providers, child_runs, tool_providers
from exporter.sources.names import Names, apps_of, sessions_of
from exporter.sources.row_reading import (
    RowSelects,
    read_messages,
    read_nodes,
    read_nodes_of_runs,
    read_runs,
    read_thoughts,
)
from exporter.sources.rows import (
    ChildRun,
    Fetched,
    Filtered,
    MessageRow,
    NodeRow,
    RunRow,
    ThoughtRow,
    TraceRows,
)
from exporter.sources.schema import Schema

WHOLE_SECONDS = (
    "Dify keeps whole seconds on MySQL; lengths of steps are exact, their places within a second are not"
)

TOO_LARGE_FACTOR = 128
"""A single trace with more text than this many page limits is refused rather than risk the whole process."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What a fetch works with; rebuilt when the schema changes, except the names."""

    schema: Schema
    heads: HeadSelects
    rows: RowSelects
    dify: DifySettings
    names: Names


@dataclass(frozen=True, slots=True)
class _Rows:
    messages: Mapping[str, MessageRow]
    runs: Mapping[str, RunRow]
    nodes: Mapping[str, NodeRow]
    nodes_of_runs: Mapping[str, tuple[NodeRow, ...]]
    thoughts: Mapping[str, tuple[ThoughtRow, ...]]


def fetch(connection: sa.Connection, reader: Reader, refs: tuple[RecordRef, ...]) -> Fetched:
    """The answer for these refs, or for the first of them that fit the byte limit (at least one)."""
    heads = read_heads(connection, reader.heads, refs)
    apps = apps_of(connection, reader.schema, reader.names, heads.values())
    filtered = _filtered(connection, reader, heads, apps)
    kept = [heads[ref] for ref in dict.fromkeys(refs) if ref in heads and ref not in filtered]
    chosen, failed = _fitting(kept, read_sizes(connection, reader.heads, kept), reader.dify.page_bytes)
    return Fetched(
        traces=_traces(connection, reader, chosen, apps),
        filtered=tuple(Filtered(ref, reason) for ref, reason in filtered.items()),
        vanished=tuple(ref for ref in dict.fromkeys(refs) if ref not in heads),
        failed=failed,
    )


def _filtered(
    connection: sa.Connection, reader: Reader, heads: Mapping[RecordRef, Head], apps: Mapping[str, App]
) -> dict[RecordRef, str]:
    reasons = {
        ref: reason
        for ref, head in heads.items()
        if (reason := reason_to_leave_out(reader.dify, apps[head.app_id], head.is_debug))
    }
    messages = messages_of_runs(
        connection, reader.heads, (head for ref, head in heads.items() if ref not in reasons)
    )
    return reasons | {
        ref: f"part of message {messages[ref.id]}"
        for ref, head in heads.items()
        if head.is_chat_run and ref.id in messages
    }


def _fitting(
    kept: list[Head], sizes: Mapping[RecordRef, int], page_bytes: int
) -> tuple[list[Head], tuple[tuple[RecordRef, str], ...]]:
    """The first heads whose text fits together, and those no answer could hold."""
    chosen: list[Head] = []
    failed: list[tuple[RecordRef, str]] = []
    total = 0
    for head in kept:
        size = sizes[head.ref]
        if size > page_bytes * TOO_LARGE_FACTOR:
            failed.append(
                (head.ref, f"holds {size} bytes of text; raise dify.page_bytes ({page_bytes}) to read it")
            )
            continue
        if chosen and total + size > page_bytes:
            break
        chosen.append(head)
        total += size
    return chosen, tuple(failed)


def _traces(
    connection: sa.Connection, reader: Reader, heads: list[Head], apps: Mapping[str, App]
) -> tuple[TraceRows, ...]:
    if not heads:
        return ()
    messages = [head.ref.id for head in heads if head.ref.kind is RecordKind.MESSAGE]
    easy = [head.ref.id for head in heads if head.ref.kind is RecordKind.MESSAGE and not head.run_id]
    runs = [head.run_id for head in heads if head.run_id]
    rows = _Rows(
        messages=read_messages(connection, reader.rows, messages),
        runs=read_runs(connection, reader.rows, runs),
        nodes=read_nodes(
            connection, reader.rows, [head.ref.id for head in heads if head.ref.kind is RecordKind.NODE]
        ),
        nodes_of_runs=read_nodes_of_runs(connection, reader.rows, runs),
        thoughts=read_thoughts(connection, reader.rows, easy),
    )
    notes = (WHOLE_SECONDS,) if reader.schema.server.has_whole_seconds else ()
    bare = [_bare(head, apps[head.app_id], rows, notes) for head in heads]
    return tuple(_with_names(connection, reader, bare))


def _bare(head: Head, app: App, rows: _Rows, notes: tuple[str, ...]) -> TraceRows:
    if head.ref.kind is RecordKind.NODE:
        return TraceRows(head.ref, app, nodes=(rows.nodes[head.ref.id],), notes=notes)
    return TraceRows(
        head.ref,
        app,
        message=rows.messages.get(head.ref.id),
        run=rows.runs.get(head.run_id) if head.run_id else None,
        nodes=rows.nodes_of_runs.get(head.run_id, ()) if head.run_id else (),
        thoughts=rows.thoughts.get(head.ref.id, ()),
        notes=notes,
    )


def _with_names(connection: sa.Connection, reader: Reader, traces: list[TraceRows]) -> Iterable[TraceRows]:
    people = {trace.ref: _person(trace) for trace in traces}
    end_users = [end_user for end_user, _ in people.values() if end_user]
    sessions = sessions_of(connection, reader.schema, reader.names, end_users)
    providers = {trace.ref: tool_providers(trace.nodes) for trace in traces}
    apps = apps_of_providers(connection, reader.schema, (p for some in providers.values() for p in some))
    tools = {ref: tuple((p, apps[p]) for p in some if p in apps) for ref, some in providers.items()}
    children = child_runs(connection, reader.schema, [_parent(trace, tools[trace.ref]) for trace in traces])
    unnamed = [trace.run.id for trace in traces if trace.run is not None and lacks_a_model(trace.nodes)]
    graphs = graphs_of(connection, reader.schema, unnamed)
    for trace in traces:
        end_user, account = people[trace.ref]
        user = sessions.get(end_user) if end_user else account
        yield _named(
            trace, user, tools[trace.ref], children.get(_parent_id(trace), ()), graphs.get(_parent_id(trace))
        )


def _named(
    trace: TraceRows,
    user: str | None,
    tools: tuple[tuple[str, str], ...],
    children: tuple[ChildRun, ...],
    graph: str | None,
) -> TraceRows:
    return TraceRows(
        trace.ref,
        trace.app,
        trace.message,
        trace.run,
        trace.nodes,
        trace.thoughts,
        user,
        tools,
        children,
        graph,
        trace.notes,
    )


def _person(trace: TraceRows) -> tuple[str | None, str | None]:
    """(end user id, account id) of whoever caused the record."""
    if trace.message is not None:
        return trace.message.from_end_user_id, trace.message.from_account_id
    row = trace.run or trace.nodes[0]
    return (row.created_by, None) if row.created_by_role == "end_user" else (None, row.created_by)


def _parent_id(trace: TraceRows) -> str:
    return trace.run.id if trace.run is not None else trace.ref.id


def _parent(trace: TraceRows, tools: tuple[tuple[str, str], ...]) -> Parent:
    apps = tuple(sorted({app for _, app in tools}))
    row = trace.run or (trace.nodes[0] if trace.nodes else None)
    if row is None:
        return Parent(_parent_id(trace), trace.ref.created_at, None, None, ())
    return Parent(_parent_id(trace), row.created_at, _end(row), row.created_by, apps)


def _end(row: RunRow | NodeRow) -> Micros | None:
    """When it ended, rounded up where only its length is told; None while it goes on."""
    if row.finished_at is None and row.elapsed_time:
        return row.created_at + math.ceil(row.elapsed_time + 1) * SECOND
    return row.finished_at
