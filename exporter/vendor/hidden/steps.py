"""Hidden requests as calls of the trace they belong to: one more model step each, without a record of Dify's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from exporter import ids
from exporter.model import Call, Status, Step, StepKind, Trace
from exporter.vendor.hidden.known import Attached
from exporter.vendor.hidden.traces import is_retrieval, retrieval_query
from exporter.vendor.hidden.words import query_hash
from exporter.vendor.record import VendorCall

_OF_RETRIEVAL = frozenset({"embedding", "rerank", "knowledge_router", "metadata_filter"})
_ENDED = {"ok": Status.OK, "error": Status.ERROR, "aborted": Status.STOPPED}


def call_id(request: VendorCall) -> str:
    """The stable id of a hidden request's call."""
    return f"hidden:{request.source}:{request.id}"


def with_hidden(trace: Trace, found: Sequence[tuple[VendorCall, Attached]]) -> Trace:
    """The trace with one more step and call per request that is attached to it; its sums, which are Dify's, stay.

    Requests of another trace, and attempts of calls that Dify did record (`Attached.call_id`), are left out. Steps stay
    in order of their start. Nothing begins before the root; a title may end after it.
    """
    mine = {
        (request.source, request.id): (request, attached)
        for request, attached in found
        if attached.trace_id == trace.trace_id and attached.call_id is None
    }
    ordered = sorted(mine.values(), key=lambda pair: (pair[0].start, pair[0].end, pair[0].source, pair[0].id))
    if not ordered:
        return trace
    steps = list(trace.steps)
    for request, attached in ordered:
        step = _step(trace, request, attached)
        steps.insert(_place(steps, step), step)
    return replace(trace, steps=tuple(steps))


def _step(trace: Trace, request: VendorCall, attached: Attached) -> Step:
    parent = _parent(trace, request, attached)
    started_at = max(trace.steps[0].started_at, request.start)
    ended_at = max(started_at, request.end)
    status = _ENDED.get(request.status, Status.ERROR)
    return Step(
        span_id=ids.synthetic_span_id(trace.trace_id, "hidden", request.source, request.id),
        parent_id=parent.span_id,
        kind=StepKind.MODEL,
        name=attached.purpose.replace("_", " "),
        started_at=started_at,
        ended_at=ended_at,
        status=status,
        call=Call(
            call_id=call_id(request),
            kind=f"hidden:{attached.purpose}",
            provider=request.provider,
            model=request.model,
            started_at=started_at,
            ended_at=ended_at,
            status=status,
            recorded=None,
            message_id=trace.message_id,
            workflow_run_id=trace.workflow_run_id,
        ),
    )


def _parent(trace: Trace, request: VendorCall, attached: Attached) -> Step:
    """The one retrieval whose query it is, else the root."""
    if attached.purpose not in _OF_RETRIEVAL:
        return trace.steps[0]
    fitting = [step for step in trace.steps if is_retrieval(step) and _asks(step, request.about)]
    return fitting[0] if len(fitting) == 1 else trace.steps[0]


def _asks(step: Step, about: Iterable[str]) -> bool:
    query = retrieval_query(step)
    return bool(query) and query_hash(query or "") in about


def _place(steps: Sequence[Step], new: Step) -> int:
    """Behind the parent and those of its children, with all below them, that began no later."""
    place = next(number for number, step in enumerate(steps) if step.span_id == new.parent_id) + 1
    below = {new.parent_id}
    for step in steps[place:]:
        is_child = step.parent_id == new.parent_id
        if step.parent_id not in below or (is_child and step.started_at > new.started_at):
            break
        below.add(step.span_id)
        place += 1
    return place
