"""Finding records: pages of (id, created_at) of three streams, in the order (created_at, id).

The streams are `messages`, `runs` and `nodes` (single-step debug runs, the only node rows outside of a run). How late
rows are found is `cursor`'s business; this module turns its windows into queries. Reads ids and times only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from exporter.config import DifySettings
from exporter.model import SECOND, Micros, RecordKind, RecordRef
from exporter.sources import cursor as cursors
from exporter.sources.cursor import NIL, Moment, Position
from exporter.sources.rows import Found
from exporter.sources.schema import Schema
from exporter.sources.tables import Column, as_default, table, written_by_default
from exporter.sources.timestamps import END_OF_TIME, to_micros, to_naive

STREAMS = ("messages", "runs", "nodes")


PAGE_REFS = 2000
PAGE_REFS_UNINDEXED = 20_000
"""Without an index every page costs a scan of the table, so pages are larger."""

CHAT_RUN_DELAY: Micros = 30 * SECOND
"""A chatflow's run is looked at this long after its start: by then its message names it, if there is one."""

_MARGIN: Micros = 2 * SECOND


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream's query. `margin` is how far its tail stays behind the clock; `is_indexed` says the order is cheap."""

    kind: RecordKind
    select: sa.Executable
    count: sa.Executable
    margin: Micros
    page_refs: int
    is_indexed: bool


def streams(schema: Schema) -> Mapping[str, Stream]:
    """The streams of this Dify."""
    messages = table(schema, "messages")
    runs = table(schema, "workflow_runs")
    is_settled: list[sa.ColumnElement[bool]] = []
    if "type" in runs.c:
        is_settled = [
            sa.or_(runs.c.type != "chat", runs.c.created_at <= sa.bindparam("chat_until", type_=sa.DateTime))
        ]
    return {
        "messages": _stream(
            schema, RecordKind.MESSAGE, messages, messages, [], _MARGIN, _in_order(schema, "messages")
        ),
        "runs": _stream(
            schema, RecordKind.RUN, runs, runs, is_settled, CHAT_RUN_DELAY, _in_order(schema, "workflow_runs")
        ),
        "nodes": _single_steps(schema),
    }


def _in_order(schema: Schema, name: str) -> bool:
    return schema.has_index(name, "created_at")


def _single_steps(schema: Schema) -> Stream:
    """Before 1.12.0 only an index of five columns finds them; the draft workflows give its first three."""
    nodes = table(schema, "workflow_node_executions")
    conditions = [nodes.c.triggered_from == "single-step", nodes.c.workflow_run_id.is_(None)]
    if schema.has_index("workflow_node_executions", "workflow_run_id"):
        return _stream(schema, RecordKind.NODE, nodes, nodes, conditions, _MARGIN, True)
    keys = ("tenant_id", "app_id", "workflow_id")
    if not schema.has("workflows", "id", "version", *keys[:2]) or not schema.has(
        "workflow_node_executions", *keys
    ):
        return _stream(schema, RecordKind.NODE, nodes, nodes, conditions, _MARGIN, False)
    drafts = table(schema, "workflows")
    same = sa.and_(
        nodes.c.tenant_id == drafts.c.tenant_id,
        nodes.c.app_id == drafts.c.app_id,
        nodes.c.workflow_id == drafts.c.id,
    )
    source = drafts.join(nodes, same)
    conditions.append(drafts.c.version == "draft")
    return _stream(schema, RecordKind.NODE, nodes, source, conditions, _MARGIN, True)


def _stream(
    schema: Schema,
    kind: RecordKind,
    rows: sa.TableClause,
    source: sa.FromClause,
    conditions: list[sa.ColumnElement[bool]],
    margin: Micros,
    is_indexed: bool,
) -> Stream:
    created_at, row_id = rows.c.created_at, rows.c.id
    since: Column = sa.bindparam("after", type_=sa.DateTime)
    before: Column = sa.bindparam("before", type_=sa.DateTime)
    told: Column = created_at
    if kind is RecordKind.MESSAGE:
        told = written_by_default(schema, created_at)
        since, before = as_default(schema, since), as_default(schema, before)
    window = [
        *conditions,
        schema.dialect.after(created_at, row_id, since, "after_id"),
        created_at < before,
    ]
    select = (
        sa.select(sa.cast(row_id, sa.Text), told)
        .select_from(source)
        .where(*window)
        .order_by(created_at, row_id)
        .limit(sa.bindparam("page", type_=sa.Integer))
    )
    count = sa.select(sa.func.count()).select_from(source).where(*window)
    return Stream(kind, select, count, margin, PAGE_REFS if is_indexed else PAGE_REFS_UNINDEXED, is_indexed)


def next_page(
    connection: sa.Connection, stream: Stream, schema: Schema, dify: DifySettings, text: str | None
) -> Found:
    """The next page after the cursor text; None begins at the configured start."""
    moment = schema.dialect.read_moment(connection, schema.server)
    cursor = cursors.begin(_start(dify, moment), moment) if text is None else cursors.from_text(text)
    runs_back = schema.server.clock.runs_back if stream.kind is RecordKind.MESSAGE else 0
    overlap = _micros(dify.overlap) + runs_back
    cursor = cursors.look(cursor, moment, overlap, _micros(dify.sweep_interval))
    is_sweep = cursor.sweep is not None
    after, until = cursors.next_window(cursor, moment, stream.margin)
    before = END_OF_TIME if until is None else to_naive(until + 1)
    refs = _page(connection, stream, after, before, moment)
    is_full = len(refs) == stream.page_refs
    cursor = cursors.passed(cursor, moment, stream.margin, _position(refs[-1]) if refs else None, is_full)
    return Found(refs, cursors.to_text(cursor), caught_up=not is_full and not is_sweep)


def range_page(
    connection: sa.Connection, stream: Stream, schema: Schema, since: Micros, until: Micros, text: str | None
) -> Found:
    """One page of the records created in [since, until), whose cursor is a bare position."""
    moment = schema.dialect.read_moment(connection, schema.server)
    after = Position(since, NIL) if text is None else cursors.position_from_text(text)
    refs = _page(connection, stream, after, to_naive(until), moment)
    last = _position(refs[-1]) if refs else after
    return Found(refs, cursors.position_text(last), caught_up=len(refs) < stream.page_refs)


def count_range(
    connection: sa.Connection, stream: Stream, schema: Schema, since: Micros, until: Micros
) -> int:
    """How many records were created in [since, until)."""
    moment = schema.dialect.read_moment(connection, schema.server)
    named = _parameters(stream, Position(since, NIL), to_naive(until), moment)
    return int(connection.execute(stream.count, named).scalar_one())


def _page(
    connection: sa.Connection, stream: Stream, after: Position, before: datetime, moment: Moment
) -> tuple[RecordRef, ...]:
    named = _parameters(stream, after, before, moment) | {"page": stream.page_refs}
    rows = connection.execute(stream.select, named).fetchall()
    return tuple(RecordRef(stream.kind, row_id, to_micros(created_at)) for row_id, created_at in rows)


def _parameters(stream: Stream, after: Position, before: datetime, moment: Moment) -> dict[str, Any]:
    return {
        "after": to_naive(after.created_at),
        "after_id": after.id,
        "before": before,
        "chat_until": to_naive(moment.now - CHAT_RUN_DELAY),
    }


def _position(ref: RecordRef) -> Position:
    return Position(ref.created_at, ref.id)


def _start(dify: DifySettings, moment: Moment) -> Micros:
    if dify.start == "beginning":
        return 0
    if dify.start == "now":
        return moment.now
    start = dify.start if dify.start.tzinfo is not None else dify.start.replace(tzinfo=UTC)
    return to_micros(start.astimezone(UTC).replace(tzinfo=None))


def _micros(seconds: float) -> Micros:
    return round(seconds * SECOND)
