"""Long values put back into the node rows that Dify cut them from.

A value replaces its column only when it is the JSON object that Dify writes; what cannot be had is a note on its trace. An
answer that would grow beyond its limit leaves out its last traces, which are asked for again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import orjson
import sqlalchemy as sa

from exporter.sources.rows import Fetched, NodeRow, TraceRows
from exporter.sources.schema import Schema
from exporter.sources.storage.store import NoValue, Store
from exporter.sources.tables import as_text, one_of, plain, read_rows, table

Place = tuple[str, str]
"""Id of the node row, and its column."""
Places = Mapping[Place, tuple[str, int | None]]
"""Key in the store, and size in bytes as Dify wrote it down."""


def cut_nodes(fetched: Fetched) -> list[str]:
    """The node rows that lack a value."""
    return [node.id for trace in fetched.traces for node in trace.nodes if node.offloaded]


def can_find(schema: Schema) -> bool:
    """Whether this Dify tells where its long values are."""
    return schema.has(
        "workflow_node_execution_offload", "node_execution_id", "type", "file_id"
    ) and schema.has("upload_files", "id", "key")


def places_of(connection: sa.Connection, schema: Schema, node_ids: Iterable[str]) -> Places:
    """Where the values of these nodes are."""
    wanted = sorted(set(node_ids))
    if not wanted or not can_find(schema):
        return {}
    offload, files = table(schema, "workflow_node_execution_offload"), table(schema, "upload_files")
    select = (
        sa.select(*as_text(offload, "node_execution_id"), offload.c.type, *plain(files, "key", "size"))
        .select_from(offload.join(files, files.c.id == offload.c.file_id))
        .where(one_of(schema, offload.c.node_execution_id))
    )
    found = read_rows(connection, select, wanted)
    return {(node_id, column): (key, size) for node_id, column, key, size in found}


def newest_key(connection: sa.Connection, schema: Schema) -> str | None:
    """The key of the value that was put away last; ids of that table are in order of time. None when none is found."""
    if not (can_find(schema) and schema.has("workflow_node_execution_offload", "id")):
        return None
    offload, files = table(schema, "workflow_node_execution_offload"), table(schema, "upload_files")
    select = (
        sa.select(files.c.key)
        .select_from(offload.join(files, files.c.id == offload.c.file_id))
        .order_by(offload.c.id.desc())
        .limit(1)
    )
    key: str | None = connection.execute(select).scalar_one_or_none()
    return key


def with_values(fetched: Fetched, places: Places, store: Store, most_bytes: int) -> Fetched:
    """The answer with its long values, at most so many bytes of them in all and in one trace, or the first traces of it
    that fit. Raises `Unreachable` or `SourceRefused`."""
    traces: list[TraceRows] = []
    total = 0
    for trace in fetched.traces:
        if traces and total + _expected(trace, places) > most_bytes:
            break
        whole, size = _filled(trace, places, store, most_bytes)
        traces.append(whole)
        total += size
    return replace(fetched, traces=tuple(traces))


def _expected(trace: TraceRows, places: Places) -> int:
    """The bytes that its values have, as Dify wrote them down."""
    cut = [(node.id, column) for node in trace.nodes for column in node.offloaded]
    return sum(places[place][1] or 0 for place in cut if place in places)


def _filled(trace: TraceRows, places: Places, store: Store, most_bytes: int) -> tuple[TraceRows, int]:
    """The trace, and how many bytes of long values it has now."""
    notes = list(trace.notes)
    nodes: list[NodeRow] = []
    size = 0
    for node in trace.nodes:
        values: dict[str, str] = {}
        for column in node.offloaded:
            try:
                values[column] = _value((node.id, column), places, store, most_bytes - size)
                size += len(values[column])
            except NoValue as why:
                notes.append(f"{node.node_type} node '{node.node_id}': no whole {column}, {why}")
        nodes.append(_with(node, values))
    return replace(trace, nodes=tuple(nodes), notes=tuple(notes)), size


def _with(node: NodeRow, values: Mapping[str, str]) -> NodeRow:
    return replace(
        node,
        inputs=values.get("inputs", node.inputs),
        process_data=values.get("process_data", node.process_data),
        outputs=values.get("outputs", node.outputs),
        offloaded=tuple(column for column in node.offloaded if column not in values),
    )


def _value(cut: Place, places: Places, store: Store, left: int) -> str:
    place = places.get(cut)
    if place is None:
        raise NoValue("Dify's database does not tell where it is")
    if left < (place[1] or 0):
        raise NoValue("its trace's long values are larger than twice dify.storage.max_bytes together")
    data = store.read(place[0])
    try:
        if not isinstance(orjson.loads(data), dict):
            raise NoValue("what is stored is no JSON object")
        return data.decode("utf-8")
    except ValueError:
        raise NoValue("what is stored is no JSON") from None
