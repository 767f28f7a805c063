"""One node row → its step, with the model call of a model node, or the call and log of an agent node.

Which columns hold tokens, prompt and model for which node type: Dify's engine as of 1.12 and 1.14, and the columns of
older versions, which are a subset.
"""

from __future__ import annotations

from collections.abc import Callable

from exporter import ids
from exporter.model import SECOND, Call, Micros, Status, Step, StepKind, ToolCall
from exporter.sources.assemble.agent_log import agent_steps
from exporter.sources.assemble.node_call import call_of, node_end, node_status, planned_model
from exporter.sources.assemble.parsing import (
    EMPTY,
    Json,
    parse_object,
    prompt_messages,
    provider_name,
    seconds_to_micros,
    text_of,
    token_count,
    tool_calls,
    usage_recorded,
)
from exporter.sources.rows import ChildRun, NodeRow, TraceRows

MODEL_NODES = frozenset({"llm", "question-classifier", "parameter-extractor"})
CONTAINERS = frozenset({"iteration", "loop"})
_TOOLS = frozenset({"tool", "http-request", "code", "datasource"})

Fact = tuple[str, str | int | float | bool]


def node_steps(
    rows: TraceRows, node: NodeRow, trace_id: str, run_is_final: bool, notes: list[str]
) -> list[Step]:
    """The node's own step first, then the synthetic steps below it. Parents of the first are set by `nest`."""
    metadata = parse_object(node.execution_metadata, f"{node.node_type} node's execution_metadata", notes)
    notes.extend(
        f"{node.node_type} node '{node.node_id}': {column} is cut, its full value is in Dify's object storage"
        for column in node.offloaded
    )
    step = _step(rows, node, metadata, notes)
    if node.node_type == "agent":
        return agent_steps(rows, node, step, metadata, trace_id, notes)
    if node.node_type in MODEL_NODES or node.node_type in CONTAINERS:
        return [step]
    return _usage_steps(rows, node, step, metadata, trace_id, notes)


def _step(rows: TraceRows, node: NodeRow, metadata: Json, notes: list[str]) -> Step:
    """The row's own step. A model call carries its texts itself, so its step does not repeat them."""
    status = node_status(node)
    is_model = node.node_type in MODEL_NODES
    return Step(
        span_id=ids.span_id(node.id),
        parent_id=None,
        kind=_kind(node),
        name=node.title or node.node_type or "node",
        started_at=node.created_at,
        ended_at=node_end(node),
        status=status,
        error=node.error if status is not Status.OK else None,
        input=None if is_model else _text(node.inputs),
        output=None if is_model else _text(node.outputs),
        facts=tuple(_facts(node, metadata, notes)),
        call=_model_call(rows, node, notes) if is_model else None,
        link=_child_trace(rows, node, metadata, notes),
    )


def _kind(node: NodeRow) -> StepKind:
    if node.node_type in MODEL_NODES:
        return StepKind.MODEL
    if node.node_type in CONTAINERS:
        return StepKind.CONTAINER
    if node.node_type == "agent":
        return StepKind.AGENT
    if node.node_type == "knowledge-retrieval":
        return StepKind.RETRIEVAL
    return StepKind.TOOL if node.node_type in _TOOLS else StepKind.NODE


def _facts(node: NodeRow, metadata: Json, notes: list[str]) -> list[Fact]:
    facts: list[Fact] = [
        (name, value)
        for name, value in (
            ("node.id", node.node_id),
            ("node.type", node.node_type),
            ("node.title", node.title),
            ("node.index", node.index),
            ("node.status", node.status if node.status != "succeeded" else None),
            ("node.error_strategy", text_of(metadata.get("error_strategy"))),
            ("offloaded", ",".join(node.offloaded) or None),
        )
        if value is not None
    ]
    for role in ("iteration", "loop"):
        if text_of(metadata.get(f"{role}_id")):
            facts.append((f"{role}.id", metadata[f"{role}_id"]))
            if isinstance(metadata.get(f"{role}_index"), int):
                facts.append((f"{role}.index", metadata[f"{role}_index"]))
    if node.node_type in CONTAINERS or _is_workflow_tool(metadata):
        total = token_count(metadata.get("total_tokens"), f"{node.node_type} node's total_tokens", notes)
        if node.node_type in CONTAINERS:
            facts.append(("container", True))
        if total is not None:
            facts.append(("recorded.total_tokens", total))
    return facts


def _is_workflow_tool(metadata: Json) -> bool:
    info = metadata.get("tool_info")
    return isinstance(info, dict) and info.get("provider_type") == "workflow"


def _model_call(rows: TraceRows, node: NodeRow, notes: list[str]) -> Call:
    where = f"{node.node_type} node's"
    data = parse_object(node.process_data, f"{where} process_data", notes)
    outputs = parse_object(node.outputs, f"{where} outputs", notes)
    recorded = usage_recorded(data.get("usage"), "node.process_data.usage", notes)
    if recorded is None:
        recorded = usage_recorded(outputs.get("usage") or outputs.get("__usage"), "node.outputs.usage", notes)
    answer, asked = _ANSWERS[node.node_type or "llm"](data, outputs)
    prompt = _prompt(data)
    planned = EMPTY if data.get("model_name") else planned_model(rows, node, notes)
    return call_of(
        rows,
        node,
        kind="completion" if data.get("model_mode") == "completion" else "chat",
        provider=provider_name(data.get("model_provider") or planned.get("provider")),
        model=text_of(data.get("model_name")) or text_of(planned.get("name")),
        recorded=recorded,
        prompt=prompt,
        answer=answer,
        reasoning=text_of(outputs.get("reasoning_content")),
        tool_calls=asked,
        finish_reason=text_of(data.get("finish_reason")),
        first_token_at=_first_token(node, data),
        missing=tuple(_missing(node, data, outputs)),
    )


def _prompt(data: Json) -> object:
    prompts = data.get("prompts")
    if isinstance(prompts, str) and prompts:
        prompts = [{"role": "user", "text": prompts}]
    return prompt_messages(prompts)


def _missing(node: NodeRow, data: Json, outputs: Json) -> list[str]:
    """What the request held and the row does not."""
    missing = []
    if "process_data" in node.offloaded:
        missing.append("the rest of a long prompt")
    if node.node_type == "parameter-extractor" and data.get("function"):
        missing.append("tool schemas")
    if outputs.get("structured_output") is not None:
        missing.append("the output schema")
    return missing


def _llm_answer(data: Json, outputs: Json) -> tuple[str | None, tuple[ToolCall, ...]]:
    return text_of(outputs.get("text")), tool_calls(outputs.get("tool_calls"))


def _classifier_answer(data: Json, outputs: Json) -> tuple[str | None, tuple[ToolCall, ...]]:
    """Dify keeps the chosen class, not the model's words."""
    return None, ()


def _extractor_answer(data: Json, outputs: Json) -> tuple[str | None, tuple[ToolCall, ...]]:
    asked = data.get("tool_call")
    return text_of(data.get("llm_text")), tool_calls([asked] if isinstance(asked, dict) else asked)


_ANSWERS: dict[str, Callable[[Json, Json], tuple[str | None, tuple[ToolCall, ...]]]] = {
    "llm": _llm_answer,
    "question-classifier": _classifier_answer,
    "parameter-extractor": _extractor_answer,
}


def _first_token(node: NodeRow, data: Json) -> Micros | None:
    """When the first token came: the call ends with the node, `latency` and `time_to_first_token` count from its start."""
    usage = data.get("usage")
    if not isinstance(usage, dict):
        return None
    latency = seconds_to_micros(usage.get("latency"))
    first = seconds_to_micros(usage.get("time_to_first_token"))
    if latency is None or first is None or first > latency:
        return None
    return max(node.created_at, node_end(node) - latency) + first


def _usage_steps(
    rows: TraceRows, node: NodeRow, step: Step, metadata: Json, trace_id: str, notes: list[str]
) -> list[Step]:
    """A retrieval may ask a model (router, metadata filter; recorded from Dify 1.9.2), and so may a kind of node that is
    newer than this program: the usage that such a row keeps is a call, a step of its own below the node."""
    where = f"{node.node_type} node's"
    if _is_workflow_tool(metadata) or not token_count(
        metadata.get("total_tokens"), f"{where} total_tokens", notes
    ):
        return [step]
    data = parse_object(node.process_data, f"{where} process_data", notes)
    outputs = parse_object(node.outputs, f"{where} outputs", notes)
    recorded = usage_recorded(data.get("usage"), "node.process_data.usage", notes) or usage_recorded(
        outputs.get("usage"), "node.outputs.usage", notes
    )
    if recorded is None:
        return [step]
    is_retrieval = node.node_type == "knowledge-retrieval"
    call = call_of(
        rows,
        node,
        kind="hidden:retrieval" if is_retrieval else "chat",
        provider=provider_name(data.get("model_provider")),
        model=text_of(data.get("model_name")),
        recorded=recorded,
    )
    return [
        step,
        Step(
            span_id=ids.synthetic_span_id(
                trace_id, "retrieval-model" if is_retrieval else "node-model", node.id
            ),
            parent_id=step.span_id,
            kind=StepKind.MODEL,
            name="retrieval model" if is_retrieval else call.model or "model",
            started_at=step.started_at,
            ended_at=step.ended_at,
            status=step.status,
            call=call,
        ),
    ]


def _child_trace(rows: TraceRows, node: NodeRow, metadata: Json, notes: list[str]) -> str | None:
    """The run of the workflow this tool row called, where exactly one fits: same app, inside the row's time, same inputs.

    Dify stores no link (until the engine of September 2026), so nothing is claimed when two runs fit.
    """
    if not _is_workflow_tool(metadata):
        return None
    app_id = dict(rows.tool_apps).get(str(metadata["tool_info"].get("provider_id")))
    inputs = parse_object(node.inputs, "tool node's inputs", notes)
    fitting = [
        run
        for run in rows.child_runs
        if run.app_id == app_id
        and node.created_at <= run.created_at <= node_end(node) + _slack(node, run)
        and inputs.items() <= parse_object(run.inputs, "child run's inputs", notes).items()
    ]
    return ids.trace_id(fitting[0].id) if len(fitting) == 1 else None


def _slack(node: NodeRow, run: ChildRun) -> Micros:
    """How much later than its tool's end a run may seem to have begun: where both tell whole seconds, up to one."""
    return SECOND - 1 if node.created_at % SECOND == run.created_at % SECOND == 0 else 0


def _text(column: str | None) -> str | None:
    """A JSON column as text for the span; an empty object says nothing."""
    return None if column in (None, "", "{}", "null") else column
