"""What every node row says about time, status and its model call, whatever its type."""

from __future__ import annotations

from typing import Any

from exporter.model import Call, Micros, Status
from exporter.sources.assemble.parsing import EMPTY, Json, inner_object, parse_object, seconds_to_micros
from exporter.sources.rows import NodeRow, TraceRows

_FAILED = frozenset({"failed", "exception"})
_RUNNING = frozenset({"running", "pending", "retry", "paused", None})


def node_end(node: NodeRow) -> Micros:
    """`finished_at`, else start + elapsed time, never before the start."""
    return max(
        node.created_at, node.finished_at or node.created_at + (seconds_to_micros(node.elapsed_time) or 0)
    )


def node_status(node: NodeRow) -> Status:
    """`error` is no failure flag: a node that succeeded on a retry keeps the failed try's text (Dify 1.14). Before 1.9.0
    a failed try keeps a row of its own for good, with status `retry` and an end."""
    if node.status in _FAILED:
        return Status.STOPPED if (node.error or "").startswith("Aborted") else Status.ERROR
    if node.status == "retry" and node.finished_at is not None:
        return Status.ERROR
    if node.status == "stopped":
        return Status.STOPPED
    return Status.UNFINISHED if node.status in _RUNNING else Status.OK


def planned_model(rows: TraceRows, node: NodeRow, notes: list[str]) -> Json:
    """The model (`provider`, `name`) that the run's graph gives this node: one that failed or never ended names none."""
    graph = parse_object(rows.graph, "workflow_runs.graph", notes)
    for entry in graph.get("nodes") or ():
        if isinstance(entry, dict) and entry.get("id") == node.node_id:
            data = inner_object(entry.get("data"))
            chosen = inner_object(
                inner_object(inner_object(data.get("agent_parameters")).get("model")).get("value")
            )
            return inner_object(data.get("model")) or {
                "provider": chosen.get("provider"),
                "name": chosen.get("model"),
            }
    return EMPTY


def call_of(rows: TraceRows, node: NodeRow, **known: Any) -> Call:
    """A Call with what every node's call has in common; `known` adds or replaces fields."""
    common: dict[str, Any] = {
        "kind": "chat",
        "provider": None,
        "model": None,
        "recorded": None,
        "call_id": f"node:{node.id}",
        "started_at": node.created_at,
        "ended_at": node_end(node),
        "status": node_status(node),
        "user": rows.user,
        "message_id": rows.message.id if rows.message else None,
        "workflow_run_id": node.workflow_run_id,
        "node_execution_id": node.id,
        "node_title": node.title,
    }
    return Call(**{**common, **known})
