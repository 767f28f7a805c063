"""Messages of apps without a graph (chat, completion, agent-chat): one model call, or one per agent round.

A message is inserted before its call and written once more at the end, with `message_metadata`; a failure writes only
`status` and `error`. So a row that is neither is unfinished, or abandoned for ever when the client hung up.
"""

from __future__ import annotations

from exporter import ids
from exporter.model import Call, Micros, PromptMessage, Recorded, Status, Step, StepKind, Sums, Tokens, Trace
from exporter.sources.assemble.agent_rounds import rounds
from exporter.sources.assemble.parsing import (
    Json,
    add,
    aliases,
    money,
    parse,
    parse_object,
    prompt_messages,
    provider_name,
    seconds_to_micros,
    text_of,
    token_count,
    unit_prices,
    untold_price,
)
from exporter.sources.rows import MessageRow, TraceRows

ROUNDING: Micros = 1_500_000
"""`created_at` may lie half a second off to either side, and the row is written a moment after the answer."""


def message(rows: TraceRows) -> Trace:
    """The Trace of one message row without a workflow run."""
    row = rows.message
    if row is None:
        raise ValueError("message row is missing")
    notes = list(rows.notes)
    metadata = parse_object(row.message_metadata, "messages.message_metadata", notes)
    prompt = prompt_messages(parse(row.message, "messages.message", notes))
    status = _status(row, metadata)
    ended_at = message_end(row)
    root_id = ids.span_id(row.id)
    children: list[Step] = _retrieval(row, metadata, root_id)
    recorded = message_recorded(row, notes)
    if not metadata.get("annotation_reply"):
        if rows.thoughts:
            children += rounds(rows, row, prompt, recorded, status, ended_at, notes)
        else:
            children.append(_model_step(rows, row, prompt, recorded, status, ended_at))
    root = Step(
        span_id=root_id,
        parent_id=None,
        kind=StepKind.MESSAGE,
        name=rows.app.name,
        started_at=row.created_at,
        ended_at=ended_at,
        status=status,
        error=row.error,
        input=row.query,
        output=row.answer or None,
    )
    steps = (root, *children)
    calls = [step.call.recorded.tokens for step in steps if step.call and step.call.recorded]
    return Trace(
        trace_id=ids.trace_id(row.id),
        ref=rows.ref,
        app=rows.app,
        name=rows.app.name,
        started_at=row.created_at,
        ended_at=max(step.ended_at for step in steps),
        status=status,
        steps=steps,
        sums=Sums(leaves=add(calls), message=recorded.tokens),
        session_id=row.conversation_id,
        user_id=rows.user,
        user_aliases=aliases(row.from_end_user_id, row.from_account_id),
        invoke_from=row.invoke_from,
        is_debug=row.invoke_from == "debugger",
        message_id=row.id,
        is_final=status is not Status.UNFINISHED,
        notes=tuple(notes),
        conversation_name=row.conversation_name,
    )


def message_recorded(row: MessageRow, notes: list[str]) -> Recorded:
    """The token columns of a message as they stand."""
    tokens = Tokens(
        token_count(row.message_tokens, "messages.message_tokens", notes),
        token_count(row.answer_tokens, "messages.answer_tokens", notes),
    )
    priced = bool(row.message_unit_price or row.answer_unit_price)
    rates = unit_prices(
        (row.message_unit_price, row.message_price_unit), (row.answer_unit_price, row.answer_price_unit), row.currency
    )  # fmt: skip
    return Recorded(tokens, "messages", tokens.total, money(row.total_price, row.currency, priced), rates)


def message_end(row: MessageRow) -> Micros:
    """`created_at` (whole seconds, rounded) + latency; for a failed message the time of its last write.

    The row's last write has microseconds and comes right after the answer: when it is that write (not a later one,
    such as feedback), it is the better end.
    """
    latency = seconds_to_micros(row.provider_response_latency)
    if latency:
        ended_at = row.created_at + latency
        written_at = row.updated_at or 0
        return written_at if ended_at < written_at <= ended_at + ROUNDING else ended_at
    if row.updated_at and row.status == "error":
        return max(row.created_at, row.updated_at)
    return row.created_at


def _status(row: MessageRow, metadata: Json) -> Status:
    """Stopped messages keep the partial answer and the model's unit price, with 0 tokens (the counter behind a stop
    is off by default since Dify 1.3.0); preset answers (moderation, annotation) have no unit price."""
    if row.status == "error":
        return Status.ERROR
    if row.message_metadata is None:
        return Status.UNFINISHED
    nothing = not row.message_tokens and not row.answer_tokens
    priced = bool(row.message_unit_price or row.answer_unit_price)
    if nothing and priced and row.answer and not metadata.get("annotation_reply"):
        return Status.STOPPED
    return Status.OK


def _model_step(
    rows: TraceRows,
    row: MessageRow,
    prompt: tuple[PromptMessage, ...] | None,
    recorded: Recorded,
    status: Status,
    ended_at: Micros,
) -> Step:
    is_completion = rows.app.mode == "completion"
    media = row.media and not any(item.media for item in prompt or ())
    call = Call(
        call_id=f"message:{row.id}",
        kind="completion" if is_completion else "chat",
        provider=provider_name(row.model_provider),
        model=row.model_id,
        started_at=row.created_at,
        ended_at=ended_at,
        status=status,
        recorded=recorded,
        prompt=prompt,
        answer=row.answer or None,
        missing=("pictures and files",) if media else (),
        user=rows.user,
        query=row.query,
        message_id=row.id,
        note=untold_price(row.total_price, row.message_unit_price, row.answer_unit_price),
    )
    return Step(
        span_id=ids.synthetic_span_id(ids.trace_id(row.id), "model", 0),
        parent_id=ids.span_id(row.id),
        kind=StepKind.MODEL,
        name=row.model_id or "model",
        started_at=row.created_at,
        ended_at=ended_at,
        status=status,
        error=row.error,
        call=call,
    )


def _retrieval(row: MessageRow, metadata: Json, root_id: str) -> list[Step]:
    """One retrieval step per dataset that was cited. Dify keeps no times for it: it stands at the message's start."""
    resources = metadata.get("retriever_resources")
    if not isinstance(resources, list):
        return []
    by_dataset: dict[str, list[Json]] = {}
    for item in resources:
        if isinstance(item, dict):
            by_dataset.setdefault(str(item.get("dataset_id")), []).append(item)
    return [
        Step(
            span_id=ids.synthetic_span_id(ids.trace_id(row.id), "retrieval", dataset_id),
            parent_id=root_id,
            kind=StepKind.RETRIEVAL,
            name=str(items[0].get("dataset_name") or "retrieval"),
            started_at=row.created_at,
            ended_at=row.created_at,
            status=Status.OK,
            input=row.query,
            output="\n\n".join(text for item in items if (text := text_of(item.get("content")))) or None,
            facts=(("dataset.id", dataset_id), ("retrieval.documents", len(items))),
        )
        for dataset_id, items in by_dataset.items()
    ]
