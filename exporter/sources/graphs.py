"""The graph of a run, only where it is needed: a model node that failed or never ended names its model nowhere else, nor
does a question classifier or parameter extractor before Dify 1.3.0.

A graph can be large, so it is read for those runs alone, and not when it is larger than `MOST_GRAPH_BYTES`.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from exporter.sources.rows import NodeRow
from exporter.sources.schema import Schema
from exporter.sources.tables import as_text, one_of, plain, read_rows, table

MOST_GRAPH_BYTES = 256 * 2**10

_MODEL_NODES = frozenset({"llm", "question-classifier", "parameter-extractor"})

_NOTHING = frozenset({None, "", "{}", "null"})


def lacks_a_model(nodes: Iterable[NodeRow]) -> bool:
    """True when a node that asks a model kept nothing that names it."""
    return any(
        (node.node_type in _MODEL_NODES and '"model_name"' not in (node.process_data or ""))
        or (node.node_type == "agent" and node.inputs in _NOTHING)
        for node in nodes
    )


def graphs_of(connection: sa.Connection, schema: Schema, run_ids: Iterable[str]) -> dict[str, str]:
    """Run id → its graph as JSON text, for those of these runs whose graph is there and not too large."""
    wanted = sorted(set(run_ids))
    if not wanted or not schema.has("workflow_runs", "id", "graph"):
        return {}
    runs = table(schema, "workflow_runs")
    statement = (
        sa.select(*as_text(runs, "id"), *plain(runs, "graph"))
        .where(one_of(schema, runs.c.id))
        .where(sa.func.octet_length(runs.c.graph) <= MOST_GRAPH_BYTES)
    )
    return {row[0]: row[1] for row in read_rows(connection, statement, wanted) if row[1]}
