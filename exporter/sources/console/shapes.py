"""What the Console API answers, as rows: the same rows that the database source gives, so one `assemble` serves both.

JSON values become the text that Dify's own columns hold. What the API does not tell stays None: prices of messages, tokens of
single agent rounds' sides, parts of a second. An end is left open where the length is known to the microsecond, because whole seconds
would make it less exact.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from exporter.clock import micros
from exporter.model import SECOND, Micros
from exporter.sources.http.asking import listed
from exporter.sources.rows import MessageRow, NodeRow, RunRow, ThoughtRow, TraceRows
from exporter.sources.timestamps import end_of

Json = Mapping[str, Any]
DEBUG = frozenset({"debugging", "rag-pipeline-debugging"})
ENDED = frozenset({"succeeded", "failed", "stopped", "partial-succeeded"})
_COLUMNS = ("inputs", "process_data", "outputs")


def message_row(
    given: Json, app_id: str, model: tuple[str | None, str | None], conversation_name: str | None
) -> MessageRow:
    """A message; `model` is provider and name where they are known."""
    return MessageRow(
        id=str(given["id"]),
        app_id=app_id,
        created_at=_time(given.get("created_at")) or 0,
        conversation_id=_text(given.get("conversation_id")),
        workflow_run_id=_text(given.get("workflow_run_id")),
        model_provider=model[0],
        model_id=model[1],
        inputs=_column(given.get("inputs")),
        query=_text(given.get("query")) or "",
        message=_column(given.get("message")),
        message_tokens=_whole(given.get("message_tokens")),
        answer=_text(given.get("answer")) or "",
        answer_tokens=_whole(given.get("answer_tokens")),
        provider_response_latency=_number(given.get("provider_response_latency")),
        status=_text(given.get("status")),
        error=_text(given.get("error")),
        message_metadata=_metadata(given),
        from_source=_text(given.get("from_source")),
        from_end_user_id=_text(given.get("from_end_user_id")),
        from_account_id=_text(given.get("from_account_id")),
        media=sum(
            1
            for file in given.get("message_files") or ()
            if isinstance(file, dict) and file.get("belongs_to", "user") in ("user", None)
        ),
        conversation_name=conversation_name,
    )


def is_written(given: Json) -> bool:
    """Whether Dify has written the end of a message of an app without a graph (or of a chatflow's message)."""
    return given.get("status") == "error" or (
        given.get("status") != "paused" and _metadata(given) is not None
    )


def _metadata(given: Json) -> str | None:
    """A missing column is told as an empty object; a finished message shows tokens, an answer or its time as well."""
    metadata = given.get("metadata")
    if metadata:
        return _column(metadata)
    shows = (
        given.get("message_tokens") or given.get("answer_tokens") or given.get("provider_response_latency")
    )
    return "{}" if shows or given.get("answer") else None


def thought_rows(message: Json, log: Json | None) -> tuple[ThoughtRow, ...]:
    """The rounds of an agent app's message, with what the agent log adds where its rounds fit: tokens, times, tools."""
    thoughts = [
        item for item in message.get("agent_thoughts") or () if isinstance(item, dict) and item.get("id")
    ]
    thoughts.sort(key=lambda item: (item.get("position") or 0, item.get("created_at") or 0, item["id"]))
    logged = [item for item in (log or {}).get("iterations") or () if isinstance(item, dict)]
    fits = len(logged) == len(thoughts)
    rows = [_thought(message, item, logged[at] if fits else {}) for at, item in enumerate(thoughts)]
    return tuple(rows)


def _thought(message: Json, given: Json, logged: Json) -> ThoughtRow:
    sides = (_whole(message.get("message_tokens")), _whole(message.get("answer_tokens")))
    tokens = _whole(logged.get("tokens"))
    is_only = len(message.get("agent_thoughts") or ()) == 1 and tokens in (
        None,
        sum(side or 0 for side in sides),
    )
    return ThoughtRow(
        id=str(given["id"]),
        message_id=str(message["id"]),
        position=_whole(given.get("position")) or 0,
        created_at=_logged_time(logged.get("created_at")) or _time(given.get("created_at")) or 0,
        thought=_text(given.get("thought")),
        tool=_text(given.get("tool")),
        tool_input=_text(given.get("tool_input")),
        tool_meta=_tool_meta(logged.get("tool_calls")),
        observation=_text(given.get("observation")),
        message_token=sides[0] if is_only else None,
        answer_token=sides[1] if is_only else None,
        tokens=tokens,
    )


def _tool_meta(calls: Any) -> str | None:
    """As Dify's column has it: by name of the tool, its time and error."""
    named = {
        str(call["tool_name"]): {
            "time_cost": call.get("time_cost"),
            "error": call.get("error"),
            "tool_parameters": call.get("tool_parameters"),
        }
        for call in calls or ()
        if isinstance(call, dict) and call.get("tool_name")
    }
    return _column(named) if named else None


def _logged_time(text: Any) -> Micros | None:
    """The agent log tells rounds in naive UTC with microseconds."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return micros(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment)


def run_row(given: Json, app_id: str, tenant_id: str, is_chat: bool, trigger: str | None) -> RunRow:
    """A run as its own address tells it. A chatflow's run that nobody made in the editor was asked for by its app (from Dify's
    AdvancedChatAppGenerator); a workflow has other triggers, which only lists tell."""
    inputs = given.get("inputs")
    created_at, lasted = _time(given.get("created_at")) or 0, _number(given.get("elapsed_time"))
    return RunRow(
        id=str(given["id"]),
        tenant_id=tenant_id,
        app_id=app_id,
        created_at=created_at,
        workflow_id=_text(inputs.get("sys.workflow_id")) if isinstance(inputs, dict) else None,
        type="chat" if is_chat else "workflow",
        triggered_from=trigger or _trigger(given, is_chat),
        version=_text(given.get("version")),
        inputs=_column(inputs),
        outputs=_column(given.get("outputs")),
        status=_text(given.get("status")),
        error=_text(given.get("error")),
        elapsed_time=lasted,
        total_tokens=_whole(given.get("total_tokens")),
        total_steps=_whole(given.get("total_steps")),
        exceptions_count=_whole(given.get("exceptions_count")),
        created_by_role=_text(given.get("created_by_role")),
        created_by=creator_of(given),
        finished_at=end_of(created_at, lasted, _time(given.get("finished_at"))),
    )


def _trigger(given: Json, is_chat: bool) -> str | None:
    if given.get("version") == "draft":
        return "debugging"
    return "app-run" if is_chat else None


def session_of(given: Json) -> tuple[str, str] | None:
    """End user id and session id of whoever ran it, when that is an end user."""
    user = given.get("created_by_end_user")
    if isinstance(user, dict) and isinstance(user.get("id"), str) and isinstance(user.get("session_id"), str):
        return user["id"], user["session_id"]
    return None


def node_rows(answer: Any, run: RunRow) -> tuple[NodeRow, ...]:
    """All nodes of a run, in Dify's order of start. Raises `Denied` for an answer that is no list."""
    nodes = [
        _node(item, run)
        for item in listed(answer)
        if isinstance(item, dict) and isinstance(item.get("id"), str)
    ]
    return tuple(sorted(nodes, key=lambda node: (node.index or 0, node.created_at, node.id)))


def _node(given: Json, run: RunRow) -> NodeRow:
    created_at, lasted = _time(given.get("created_at")) or 0, _number(given.get("elapsed_time"))
    return NodeRow(
        id=given["id"],
        app_id=run.app_id,
        created_at=created_at,
        tenant_id=run.tenant_id,
        workflow_id=run.workflow_id,
        workflow_run_id=run.id,
        triggered_from="workflow-run",
        index=_whole(given.get("index")),
        predecessor_node_id=_text(given.get("predecessor_node_id")),
        node_id=_text(given.get("node_id")),
        node_type=_text(given.get("node_type")),
        title=_text(given.get("title")),
        inputs=_column(given.get("inputs")),
        process_data=_column(given.get("process_data")),
        outputs=_column(given.get("outputs")),
        status=_text(given.get("status")),
        error=_text(given.get("error")),
        elapsed_time=lasted,
        execution_metadata=_column(given.get("execution_metadata")),
        created_by_role=_text(given.get("created_by_role")),
        created_by=creator_of(given),
        finished_at=end_of(created_at, lasted, _time(given.get("finished_at"))),
        offloaded=tuple(name for name in _COLUMNS if given.get(f"{name}_truncated") is True),
    )


def graph_text(given: Json) -> str | None:
    """The run's graph."""
    return _column(given.get("graph"))


def creator_of(given: Json) -> str | None:
    """Id of the end user or the account that made it."""
    role = "created_by_end_user" if given.get("created_by_role") == "end_user" else "created_by_account"
    person = given.get(role)
    return _text(person.get("id")) if isinstance(person, dict) else None


def _column(value: Any) -> str | None:
    """JSON as Dify writes it into a text column; an empty text says nothing."""
    return None if value is None or value == "" else json.dumps(value)


def _time(value: Any) -> Micros | None:
    """Seconds since the epoch, as the answers give them."""
    return (
        value * SECOND
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40
        else None
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 10**8 else None


def size_of_nodes(nodes: Iterable[NodeRow]) -> int:
    """About the bytes of their texts."""
    return sum(
        len(text)
        for node in nodes
        for text in (node.inputs, node.process_data, node.outputs, node.execution_metadata)
        if text
    )


def size_of_trace(rows: TraceRows) -> int:
    """About the bytes of its texts."""
    message, run = rows.message, rows.run
    texts = [thought.thought for thought in rows.thoughts] + [
        thought.observation for thought in rows.thoughts
    ]
    if message is not None:
        texts += [message.query, message.answer, message.message, message.inputs, message.message_metadata]
    if run is not None:
        texts += [run.inputs, run.outputs]
    return size_of_nodes(rows.nodes) + sum(len(text) for text in texts if text)
