"""Workflow and chatflow runs: the run (under its message, for a chatflow) and its node rows as one tree.

Truth about tokens is in the leaf nodes in every Dify version; run and message totals go wrong by version and are only
kept for comparison. Containers (iteration, loop, workflow tools) repeat what their inner rows already say.
"""

from __future__ import annotations

from dataclasses import replace

from exporter import ids
from exporter.model import Micros, Status, Step, StepKind, Sums, Trace
from exporter.sources.assemble.easy import message_recorded
from exporter.sources.assemble.nodes import node_steps
from exporter.sources.assemble.parsing import add, aliases, seconds_to_micros, token_count
from exporter.sources.assemble.tree import nest
from exporter.sources.rows import MessageRow, RunRow, TraceRows

_FINISHED = {
    "succeeded": Status.OK,
    "partial-succeeded": Status.OK,
    "failed": Status.ERROR,
    "stopped": Status.STOPPED,
}
_DEBUG = {"debugging", "rag-pipeline-debugging", "single-step"}


def run(rows: TraceRows) -> Trace:
    """The Trace of a workflow run, or of a chatflow message with its run."""
    row, message = rows.run, rows.message
    if row is None and message is None:
        raise ValueError("neither run nor message row is there")
    notes = list(rows.notes)
    status = _run_status(row, message)
    is_final = (
        row.status in _FINISHED if row is not None else message is not None and message.status == "error"
    )
    tops, parent = _tops(rows, status)
    nodes = sorted(rows.nodes, key=lambda node: (node.created_at, node.index or 0, node.id))
    trace_id = ids.trace_id((message or row).id)  # type: ignore[union-attr]
    built = [(node, node_steps(rows, node, trace_id, is_final, notes)) for node in nodes]
    steps = (*tops, *nest(trace_id, parent, built))
    return Trace(
        trace_id=trace_id,
        ref=rows.ref,
        app=rows.app,
        name=rows.app.name,
        started_at=steps[0].started_at,
        ended_at=max(step.ended_at for step in steps),
        status=status,
        steps=(_stretched(steps), *steps[1:]),
        sums=Sums(
            leaves=add([step.call.recorded.tokens for step in steps if step.call and step.call.recorded]),
            message=message_recorded(message, notes).tokens if message else None,
            run_total=token_count(row.total_tokens, "workflow_runs.total_tokens", notes) if row else None,
            containers_total=_containers_total(steps),
        ),
        session_id=message.conversation_id if message else None,
        user_id=rows.user,
        user_aliases=aliases(
            row.created_by if row else None,
            message.from_end_user_id if message else None,
            message.from_account_id if message else None,
        ),
        invoke_from=message.invoke_from if message else None,
        triggered_from=row.triggered_from if row else None,
        is_debug=(message is not None and message.invoke_from == "debugger")
        or (row is not None and row.triggered_from in _DEBUG),
        workflow_id=row.workflow_id if row else None,
        workflow_version=row.version if row else None,
        message_id=message.id if message else None,
        workflow_run_id=row.id if row else message.workflow_run_id if message else None,
        is_final=is_final,
        is_paused=row is not None and row.status == "paused",
        notes=tuple(notes),
        conversation_name=message.conversation_name if message else None,
    )


def single_step(rows: TraceRows) -> Trace:
    """The Trace of one node run alone in the editor: paid like any other, part of no run."""
    if not rows.nodes:
        raise ValueError("node row is missing")
    node, notes = rows.nodes[0], list(rows.notes)
    trace_id = ids.trace_id(node.id)
    built = node_steps(rows, node, trace_id, node.status not in (None, "running", "pending"), notes)
    steps = tuple(nest(trace_id, None, [(node, built)]))
    return Trace(
        trace_id=trace_id,
        ref=rows.ref,
        app=rows.app,
        name=f"{rows.app.name} · {node.title or node.node_id}",
        started_at=steps[0].started_at,
        ended_at=max(step.ended_at for step in steps),
        status=steps[0].status,
        steps=steps,
        sums=Sums(
            leaves=add([step.call.recorded.tokens for step in steps if step.call and step.call.recorded])
        ),
        user_id=rows.user,
        user_aliases=aliases(node.created_by),
        triggered_from=node.triggered_from,
        is_debug=True,
        workflow_id=node.workflow_id,
        is_final=steps[0].status is not Status.UNFINISHED,
        notes=tuple(notes),
    )


def run_end(row: RunRow) -> Micros:
    """When the run ended: `finished_at` (wall time, waiting for people included), else start + elapsed time."""
    return max(row.created_at, row.finished_at or row.created_at + (seconds_to_micros(row.elapsed_time) or 0))


def _run_status(row: RunRow | None, message: MessageRow | None) -> Status:
    if row is not None:
        return _FINISHED.get(row.status or "", Status.UNFINISHED)
    return Status.ERROR if message is not None and message.status == "error" else Status.UNFINISHED


def _tops(rows: TraceRows, status: Status) -> tuple[tuple[Step, ...], str]:
    """The message and run steps, and the span id that the nodes hang on."""
    message, row = rows.message, rows.run
    found: list[Step] = []
    if message is not None:
        found.append(_message_step(rows, message, row, status))
    if row is not None:
        found.append(_run_step(rows, row, found[0].span_id if found else None, status))
    return tuple(found), found[-1].span_id


def _message_step(rows: TraceRows, message: MessageRow, row: RunRow | None, status: Status) -> Step:
    latency = seconds_to_micros(message.provider_response_latency) or 0
    ended_at = max(message.created_at + latency, run_end(row) if row else 0)
    return Step(
        span_id=ids.span_id(message.id),
        parent_id=None,
        kind=StepKind.MESSAGE,
        name=rows.app.name,
        started_at=min(message.created_at, row.created_at) if row else message.created_at,
        ended_at=ended_at,
        status=Status.ERROR if message.status == "error" else status,
        error=message.error,
        input=message.query,
        output=message.answer or None,
    )


def _run_step(rows: TraceRows, row: RunRow, parent_id: str | None, status: Status) -> Step:
    facts: list[tuple[str, str | int | float | bool]] = []
    if row.total_steps is not None:
        facts.append(("run.total_steps", row.total_steps))
    if row.exceptions_count:
        facts.append(("run.exceptions", row.exceptions_count))
    if row.status:
        facts.append(("run.status", row.status))
    return Step(
        span_id=ids.span_id(row.id),
        parent_id=parent_id,
        kind=StepKind.WORKFLOW,
        name=rows.app.name if parent_id is None else "workflow",
        started_at=row.created_at,
        ended_at=run_end(row),
        status=status,
        error=row.error if status is not Status.OK else None,
        input=row.inputs,
        output=row.outputs,
        facts=tuple(facts),
    )


def _stretched(steps: tuple[Step, ...]) -> Step:
    """The root ends when its last step ends, also where Dify never wrote an end."""
    return replace(steps[0], ended_at=max(step.ended_at for step in steps))


def _containers_total(steps: tuple[Step, ...]) -> int:
    """What containers repeat: they may hang in each other, and only the outermost repeats each token once more."""
    containers = {step.span_id: step for step in steps if dict(step.facts).get("container")}
    parents = {step.span_id: step.parent_id for step in steps}
    total = 0
    for span_id, step in containers.items():
        above = parents.get(span_id)
        while above is not None and above not in containers:
            above = parents.get(above)
        if above is None:
            total += int(dict(step.facts).get("recorded.total_tokens", 0))
    return total
