"""Rows in the form of the Console API's answers, as recorded of Dify 1.12.1 and 1.14.0."""

from __future__ import annotations

import json
from typing import Any

from tests.contract.console_rows import Row, Rows, seconds, settings_of

NULL_RUN = dict.fromkeys(
    (
        "id", "version", "graph", "inputs", "status", "outputs", "error", "elapsed_time", "total_tokens", "total_steps",
        "created_by_role", "created_by_account", "created_by_end_user", "created_at", "finished_at", "exceptions_count",
    )
)  # fmt: skip
"""What Dify answers, with 200, for a run that is not there."""


def app(rows: Rows, row: Row) -> Row:
    settings = settings_of(rows, row)
    found = None
    if settings is not None:
        found = {
            "model": parsed(settings["model"]),
            "pre_prompt": settings.get("pre_prompt"),
            "created_at": seconds(settings["created_at"]),
        }
    return {
        "id": row["id"],
        "name": row["name"],
        "mode": row["mode"],
        "model_config": found,
        "created_at": seconds(row.get("created_at")),
        "updated_at": seconds(row.get("updated_at")),
    }


def trace_config(row: Row) -> Row:
    """Settings of Dify's own tracing: keys masked, times as the database holds them, as text."""
    told = parsed(row["tracing_config"]) or {}
    masked = {name: "pk-lf****" for name in ("public_key", "secret_key", "api_key") if name in told}
    return {
        "id": row["id"],
        "app_id": row["app_id"],
        "tracing_provider": row["tracing_provider"],
        "tracing_config": {**told, **masked},
        "is_active": row["is_active"],
        "created_at": str(row["created_at"]),
        "updated_at": str(row["updated_at"]),
    }


def conversation(rows: Rows, row: Row) -> Row:
    mine = rows.group("messages", "conversation_id", row["id"])
    user = rows.row("end_users", row.get("from_end_user_id"))
    account = rows.row("accounts", row.get("from_account_id"))
    found = {
        "id": row["id"],
        "status": row["status"],
        "from_source": row["from_source"],
        "from_end_user_id": row["from_end_user_id"],
        "from_end_user_session_id": user["session_id"] if user else None,
        "from_account_id": row["from_account_id"],
        "from_account_name": account["name"] if account else None,
        "read_at": seconds(row["read_at"]),
        "created_at": seconds(row["created_at"]),
        "updated_at": seconds(row["updated_at"]),
    }
    if row["mode"] == "completion":
        first = mine[0] if mine else {}
        texts = {"query": first.get("query"), "answer": first.get("answer")}
        return {**found, "message": {"inputs": first.get("inputs"), "message": prompt_text(first), **texts}}
    return {**found, "name": row["name"], "message_count": len(mine)}


def prompt_text(message: Row) -> str:
    """A completion list shows the prompt's first text."""
    prompt = message.get("message")
    return prompt[0]["text"] if isinstance(prompt, list) and prompt else ""


def message(rows: Rows, row: Row) -> Row:
    thoughts = sorted(
        rows.group("message_agent_thoughts", "message_id", row["id"]), key=lambda item: item["position"]
    )
    return {
        "id": row["id"],
        "conversation_id": row["conversation_id"],
        "inputs": row["inputs"],
        "query": row["query"],
        "message": row["message"],
        "message_tokens": row["message_tokens"],
        "answer": row["answer"],
        "answer_tokens": row["answer_tokens"],
        "provider_response_latency": row["provider_response_latency"],
        "from_source": row["from_source"],
        "from_end_user_id": row["from_end_user_id"],
        "from_account_id": row["from_account_id"],
        "workflow_run_id": row["workflow_run_id"],
        "created_at": seconds(row["created_at"]),
        "agent_thoughts": [_thought(item) for item in thoughts],
        "message_files": [
            {"id": file["id"], "belongs_to": file.get("belongs_to") or "user"}
            for file in rows.group("message_files", "message_id", row["id"])
        ],
        "metadata": parsed(row["message_metadata"]) or {},
        "status": row["status"],
        "error": row["error"],
    }


def _thought(row: Row) -> Row:
    return {
        "id": row["id"],
        "message_id": row["message_id"],
        "position": row["position"],
        "thought": row["thought"],
        "tool": row["tool"],
        "tool_input": row["tool_input"],
        "created_at": seconds(row["created_at"]),
        "observation": row["observation"],
    }


def agent_log(rows: Rows, row: Row) -> Row:
    thoughts = sorted(
        rows.group("message_agent_thoughts", "message_id", row["id"]), key=lambda item: item["position"]
    )
    return {
        "meta": {"total_tokens": row["message_tokens"] + row["answer_tokens"], "iterations": len(thoughts)},
        "iterations": [_iteration(thought) for thought in thoughts],
    }


def _iteration(thought: Row) -> Row:
    metas, inputs = parsed(thought["tool_meta_str"]) or {}, parsed(thought["tool_input"])
    names = [name for name in (thought["tool"] or "").split(";") if name]
    calls = []
    for name in names:
        meta = metas.get(name) or {}
        calls.append(
            {
                "status": "error" if meta.get("error") else "success",
                "error": meta.get("error"),
                "time_cost": meta.get("time_cost", 0),
                "tool_name": name,
                "tool_input": inputs.get(name) if isinstance(inputs, dict) else {},
                "tool_parameters": meta.get("tool_parameters", {}),
            }
        )
    return {
        "tokens": thought["tokens"],
        "tool_calls": calls,
        "thought": thought["thought"],
        "created_at": thought["created_at"].isoformat(),
    }


def log_entry(rows: Rows, row: Row) -> Row:
    run = rows.row("workflow_runs", row["workflow_run_id"])
    summary = None
    if run is not None:
        names = (
            "id",
            "version",
            "status",
            "triggered_from",
            "error",
            "elapsed_time",
            "total_tokens",
            "total_steps",
        )
        summary = {name: run[name] for name in names} | {
            "created_at": seconds(run["created_at"]),
            "finished_at": seconds(run["finished_at"]),
            "exceptions_count": run["exceptions_count"],
        }
    return {
        "id": row["id"],
        "workflow_run": summary,
        "created_from": row["created_from"],
        "created_by_role": row["created_by_role"],
        **_creator(rows, row),
        "created_at": seconds(row["created_at"]),
    }


def run_entry(rows: Rows, row: Row, *, with_message: bool) -> Row:
    found = {
        "id": row["id"],
        "version": row["version"],
        "status": row["status"],
        "elapsed_time": row["elapsed_time"],
        "total_tokens": row["total_tokens"],
        "total_steps": row["total_steps"],
        "created_by_account": _creator(rows, row)["created_by_account"],
        "created_at": seconds(row["created_at"]),
        "finished_at": seconds(row["finished_at"]),
        "exceptions_count": row["exceptions_count"],
    }
    if with_message:
        message = next(iter(rows.group("messages", "workflow_run_id", row["id"])), None)
        found["message_id"] = message["id"] if message else None
        found["conversation_id"] = message["conversation_id"] if message else None
    return found


def run(rows: Rows, row: Row) -> Row:
    return {
        "id": row["id"],
        "version": row["version"],
        "graph": parsed(row["graph"]) or {},
        "inputs": parsed(row["inputs"]) or {},
        "status": row["status"],
        "outputs": parsed(row["outputs"]) or {},
        "error": row["error"],
        "elapsed_time": row["elapsed_time"],
        "total_tokens": row["total_tokens"],
        "total_steps": row["total_steps"],
        "created_by_role": row["created_by_role"],
        **_creator(rows, row),
        "created_at": seconds(row["created_at"]),
        "finished_at": seconds(row["finished_at"]),
        "exceptions_count": row["exceptions_count"],
    }


def service_run(row: Row | None) -> Row:
    """A run by the Service API: inputs and outputs are text; what is not there is nulls."""
    names = (
        "id",
        "workflow_id",
        "status",
        "inputs",
        "outputs",
        "error",
        "total_steps",
        "total_tokens",
        "elapsed_time",
    )
    row = row or {}
    found = {name: row.get(name) for name in names}
    if row.get("status") == "paused":
        found["outputs"] = {}
    return {
        **found,
        "created_at": seconds(row.get("created_at")),
        "finished_at": seconds(row.get("finished_at")),
    }


def node(rows: Rows, row: Row) -> Row:
    cut = {
        item["type"] for item in rows.group("workflow_node_execution_offload", "node_execution_id", row["id"])
    }
    return {
        "id": row["id"],
        "index": row["index"],
        "predecessor_node_id": row["predecessor_node_id"],
        "node_id": row["node_id"],
        "node_type": row["node_type"],
        "title": row["title"],
        "inputs": parsed(row["inputs"]),
        "process_data": parsed(row["process_data"]),
        "outputs": parsed(row["outputs"]),
        "status": row["status"],
        "error": row["error"],
        "elapsed_time": row["elapsed_time"],
        "execution_metadata": parsed(row["execution_metadata"]) or {},
        "created_at": seconds(row["created_at"]),
        "created_by_role": row["created_by_role"],
        **_creator(rows, row),
        "finished_at": seconds(row["finished_at"]),
        **{f"{name}_truncated": name in cut for name in ("inputs", "outputs", "process_data")},
    }


def _creator(rows: Rows, row: Row) -> Row:
    is_end_user = row["created_by_role"] == "end_user"
    account = None if is_end_user else rows.row("accounts", row["created_by"])
    user = rows.row("end_users", row["created_by"]) if is_end_user else None
    known = {"id": row["created_by"]} if not is_end_user else None
    return {
        "created_by_account": {name: account[name] for name in ("id", "name", "email")} if account else known,
        "created_by_end_user": {"id": user["id"], "session_id": user["session_id"], "type": user.get("type")}
        if user
        else None,
    }


def parsed(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) and text else text
