"""An agent node: its rounds and tool calls from the log, and one call that holds the node's usage.

The row keeps one sum over all rounds, so there is one call; rounds carry only their own total as a fact. The log's
times are the plugin's monotonic clock, so steps are laid out relative to the earliest entry.
"""

from __future__ import annotations

from typing import Any

import orjson

from exporter import ids
from exporter.model import Call, Micros, Recorded, Status, Step, StepKind, Tokens
from exporter.sources.assemble.node_call import call_of, planned_model
from exporter.sources.assemble.parsing import (
    EMPTY,
    Json,
    inner_object,
    parse_object,
    provider_name,
    text_of,
    token_count,
    usage_recorded,
)
from exporter.sources.rows import NodeRow, TraceRows


def agent_steps(
    rows: TraceRows, node: NodeRow, step: Step, metadata: Json, trace_id: str, notes: list[str]
) -> list[Step]:
    """The agent's step, the call that holds its usage, then rounds with their tool calls."""
    call = _call(rows, node, step, metadata, notes)
    usage = Step(
        span_id=ids.synthetic_span_id(trace_id, "agent-model", node.id),
        parent_id=step.span_id,
        kind=StepKind.MODEL,
        name=call.model or "model",
        started_at=step.started_at,
        ended_at=step.ended_at,
        status=step.status,
        error=step.error,
        call=call,
    )
    return [step, usage, *_log_steps(step, metadata, trace_id, notes)]


def _call(rows: TraceRows, node: NodeRow, step: Step, metadata: Json, notes: list[str]) -> Call:
    inputs = parse_object(node.inputs, "agent node's inputs", notes)
    outputs = parse_object(node.outputs, "agent node's outputs", notes)
    model = inner_object(inputs.get("model"))
    recorded = usage_recorded(outputs.get("usage"), "node.outputs.usage", notes)
    if recorded is None:
        recorded = usage_recorded(
            {
                key: metadata.get(key)
                for key in ("total_tokens", "total_price", "currency")
                if key in metadata
            },
            "node.execution_metadata",
            notes,
        ) or _of_rounds(metadata, notes)
    params = model.get("completion_params")
    planned = EMPTY if model else planned_model(rows, node, notes)
    return call_of(
        rows,
        node,
        provider=provider_name(model.get("provider") or planned.get("provider")),
        model=text_of(model.get("model")) or text_of(planned.get("name")),
        recorded=recorded,
        answer=text_of(outputs.get("text")),
        parameters=_scalars(params),
        missing=("the prompts of an agent's rounds",),
        query=text_of(inputs.get("query")),
        note=f"agent_rounds:{_round_count(metadata)}" if _round_count(metadata) else None,
    )


def _scalars(value: object) -> tuple[tuple[str, str | int | float | bool], ...]:
    if not isinstance(value, dict):
        return ()
    return tuple(
        (str(key), item) for key, item in value.items() if isinstance(item, str | int | float | bool)
    )


def _of_rounds(metadata: Json, notes: list[str]) -> Recorded | None:
    """What the log's rounds add up to: before Dify 1.6.0 the node keeps no sum of its own. A round repeats what the
    thought below it says, so the entries without a counted one below them are added."""
    totals = {
        str(entry.get("message_id") or entry.get("id")): (entry.get("parent_id"), total)
        for entry in _entries(metadata)
        if (
            total := token_count(
                inner_object(entry.get("metadata")).get("total_tokens"), "agent log's total_tokens", notes
            )
        )
    }
    repeated = {str(parent) for parent, _ in totals.values()}
    total = sum(total for name, (_, total) in totals.items() if name not in repeated)
    return Recorded(Tokens(), "node.execution_metadata.agent_log", total) if total else None


def _entries(metadata: Json) -> list[dict[str, Any]]:
    log = metadata.get("agent_log")
    return [entry for entry in log if isinstance(entry, dict)] if isinstance(log, list) else []


def _round_count(metadata: Json) -> int:
    return sum(1 for entry in _entries(metadata) if entry.get("parent_id") is None)


def _log_steps(step: Step, metadata: Json, trace_id: str, notes: list[str]) -> list[Step]:
    entries = _entries(metadata)
    times = [_times(entry) for entry in entries]
    origin = min((start for start, _ in times if start is not None), default=None)
    spans = {str(entry.get("message_id") or entry.get("id")): number for number, entry in enumerate(entries)}
    below: dict[int | None, list[int]] = {}
    for number, entry in enumerate(entries):
        parent = spans.get(str(entry.get("parent_id")))
        below.setdefault(parent if parent != number else None, []).append(number)
    steps: list[Step] = []

    def add(number: int, parent_id: str) -> None:
        built = _entry_step(step, entries[number], times[number], origin, trace_id, parent_id, number, notes)
        steps.append(built)
        for child in below.get(number, []):
            add(child, built.span_id)

    for top in below.get(None, []):
        add(top, step.span_id)
    return steps


def _entry_step(
    agent: Step,
    entry: dict[str, Any],
    times: tuple[float | None, float | None],
    origin: float | None,
    trace_id: str,
    parent_id: str,
    number: int,
    notes: list[str],
) -> Step:
    label = str(entry.get("label") or f"entry {number + 1}")
    started, ended = (_placed(agent, moment, origin) for moment in times)
    metadata = inner_object(entry.get("metadata"))
    data = inner_object(entry.get("data"))
    total = token_count(metadata.get("total_tokens"), "agent log's total_tokens", notes)
    is_tool = label.startswith("CALL ")
    failed = bool(entry.get("error")) or entry.get("status") == "error"
    return Step(
        span_id=ids.synthetic_span_id(trace_id, "agent-log", agent.span_id, number),
        parent_id=parent_id,
        kind=StepKind.TOOL if is_tool else StepKind.ROUND,
        name=label.removeprefix("CALL ") if is_tool else label,
        started_at=started or agent.started_at,
        ended_at=max(started or agent.started_at, ended or agent.ended_at),
        status=Status.ERROR if failed else Status.OK,
        error=text_of(entry.get("error")),
        input=_json(data.get("tool_call_args") if is_tool else data.get("action_input")),
        output=_json(data.get("output") if is_tool else data.get("observation") or data.get("thought")),
        facts=() if total is None else (("recorded.total_tokens", total),),
    )


def _times(entry: dict[str, Any]) -> tuple[float | None, float | None]:
    metadata = inner_object(entry.get("metadata"))
    start, end = metadata.get("started_at"), metadata.get("finished_at")
    return (
        float(start) if isinstance(start, int | float) else None,
        float(end) if isinstance(end, int | float) else None,
    )


def _placed(agent: Step, moment: float | None, origin: float | None) -> Micros | None:
    """A monotonic time on the node's own clock; kept inside the node."""
    if moment is None or origin is None:
        return None
    return min(agent.ended_at, agent.started_at + round((moment - origin) * 1_000_000))


def _json(value: object) -> str | None:
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
