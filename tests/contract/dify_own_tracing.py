"""Dify's own tracing, from Dify's rows: the events that its Langfuse SDK 2.51 sends, and the runs that it makes at LangSmith.

Ids and usage by what Dify's LangFuseDataTrace and LangSmithDataTrace do: a message or a workflow run is a trace under its own
id, with dashes; a node's execution is an observation under its own id, a generation when its model is a chat model; the
generation of a message without a workflow has a random id.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import psycopg
import requests
from psycopg.rows import dict_row

Row = dict[str, Any]
Event = dict[str, Any]

_MESSAGES = """
    SELECT id::text, conversation_id::text, workflow_run_id::text, model_id, message_tokens, answer_tokens, created_at,
           coalesce(from_end_user_id, from_account_id)::text AS user_id
    FROM messages WHERE app_id = %s ORDER BY created_at, id
"""
_RUNS = "SELECT id::text, type, created_at, finished_at FROM workflow_runs WHERE app_id = %s AND type <> 'chat' ORDER BY id"
_NODES = """
    SELECT id::text, title, node_type, process_data, created_at, finished_at FROM workflow_node_executions
    WHERE workflow_run_id = %s ORDER BY "index", id
"""


def langfuse_events(url: str, app_id: str) -> list[Event]:
    """Everything that Dify sends to Langfuse for this app."""
    return [_event(kind, body) for kind, body in _langfuse(url, app_id)]


def send_to_langfuse(address: str, keys: tuple[str, str], events: list[Event]) -> list[dict[str, Any]]:
    """In batches, as the SDK does; the errors inside of the 207s, which Dify only logs."""
    errors: list[dict[str, Any]] = []
    for start in range(0, len(events), 15):
        reply = requests.post(
            f"{address}/api/public/ingestion",
            json={"batch": events[start : start + 15]},
            auth=keys,
            timeout=10,
        )
        assert reply.status_code == 207
        errors += reply.json()["errors"]
    return errors


def tokens(events: list[Event]) -> dict[str, int]:
    """Trace id → the tokens in these events."""
    found: dict[str, int] = {}
    for event in events:
        body = event["body"]
        if "usage" in body:
            found[body["traceId"]] = found.get(body["traceId"], 0) + body["usage"]["total"]
    return {trace_id: total for trace_id, total in found.items() if total}


def langsmith_runs(url: str, app_id: str, project: str) -> list[Row]:
    """The runs of Dify's traces, as LangSmith holds them."""
    return list(_langsmith(url, app_id, project))


def _langfuse(url: str, app_id: str) -> Iterator[tuple[str, Row]]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        for message in connection.execute(_MESSAGES, (app_id,)).fetchall():
            trace_id, run_id = message["id"], message["workflow_run_id"]
            whose = {"sessionId": message["conversation_id"], "userId": message["user_id"]}
            yield (
                "trace-create",
                {"id": trace_id, "name": "message", "metadata": {"message_id": trace_id}, **whose},
            )
            if run_id is None:
                yield "generation-create", _easy_generation(message)
                continue
            yield (
                "span-create",
                {"id": run_id, "traceId": trace_id, "name": "workflow", **_times(message)},
            )
            for node in connection.execute(_NODES, (run_id,)).fetchall():
                yield _node(node, trace_id, run_id)
        for run in connection.execute(_RUNS, (app_id,)).fetchall():
            yield "trace-create", {"id": run["id"], "name": "workflow", "metadata": {"workflow": app_id}}
            for node in connection.execute(_NODES, (run["id"],)).fetchall():
                yield _node(node, run["id"], None)


def _easy_generation(message: Row) -> Row:
    counts = message["message_tokens"] or 0, message["answer_tokens"] or 0
    return {
        "id": str(uuid5(NAMESPACE_URL, f"random:{message['id']}")),
        "traceId": message["id"],
        "name": "llm",
        "model": message["model_id"],
        "usage": {"input": counts[0], "output": counts[1], "total": sum(counts), "unit": "TOKENS"},
        **_times(message),
    }


def _node(node: Row, trace_id: str, parent_id: str | None) -> tuple[str, Row]:
    told = json.loads(node["process_data"] or "{}") or {}
    usage = told.get("usage") or {}
    body: Row = {
        "id": node["id"], "traceId": trace_id, "parentObservationId": parent_id, "name": node["title"], **_times(node),
    }  # fmt: skip
    if told.get("model_mode") != "chat":
        return "span-create", body
    counts = {
        "input": usage.get("prompt_tokens", 0),
        "output": usage.get("completion_tokens", 0),
        "total": usage.get("total_tokens", 0),
        "unit": "TOKENS",
    }
    return "generation-create", {**body, "model": told.get("model_name"), "usage": counts}


def _langsmith(url: str, app_id: str, project: str) -> Iterator[Row]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        for message in connection.execute(_MESSAGES, (app_id,)).fetchall():
            yield _run(message, None, "message", project)
            if message["workflow_run_id"]:
                row = {**message, "id": message["workflow_run_id"]}
                yield _run(row, message["id"], "workflow", project)
        for run in connection.execute(_RUNS, (app_id,)).fetchall():
            yield _run(run, None, "workflow", project)


def _run(row: Row, parent_id: str | None, name: str, project: str) -> Row:
    return {
        "id": row["id"],
        "trace_id": parent_id or row["id"],
        "parent_run_id": parent_id,
        "dotted_order": "",
        "session_name": project,
        "name": name,
        "run_type": "chain",
        "start_time": round((row["created_at"] - datetime(1970, 1, 1)).total_seconds() * 1e6),
        "usage_metadata": None,
        "metadata": {},
        "visible_at": 0.0,
    }


def _times(row: Row) -> Row:
    end = row.get("finished_at") or row["created_at"]
    return {"startTime": f"{row['created_at'].isoformat()}Z", "endTime": f"{end.isoformat()}Z"}


def _event(kind: str, body: Row) -> Event:
    return {
        "id": str(uuid5(NAMESPACE_URL, f"event:{kind}:{body['id']}")),
        "type": kind,
        "timestamp": body.get("endTime", "2026-11-24T00:00:00.000Z"),
        "body": body,
    }
