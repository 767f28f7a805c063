"""The rounds of an agent app: one row of `message_agent_thoughts` per model call, plus its tool calls.

The prompt stored with the message is that of the last round. With function calling the earlier rounds' prompts are its
beginnings: everything before the k-th assistant message with tool calls, counted from the end of the history.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from exporter import ids
from exporter.model import Call, Micros, PromptMessage, Recorded, Status, Step, StepKind, Tokens, ToolCall
from exporter.sources.assemble.parsing import (
    Json,
    inner_object,
    money,
    parse_object,
    provider_name,
    seconds_to_micros,
    token_count,
    unit_prices,
    untold_price,
)
from exporter.sources.rows import MessageRow, ThoughtRow, TraceRows

Round = tuple[tuple[PromptMessage, ...] | None, tuple[ToolCall, ...]]
"""The prompt of a round, as far as it was kept, and the tool calls the model answered with."""


def rounds(
    rows: TraceRows,
    row: MessageRow,
    prompt: tuple[PromptMessage, ...] | None,
    message_recorded: Recorded,
    status: Status,
    ended_at: Micros,
    notes: list[str],
) -> list[Step]:
    """Model and tool steps of all rounds, in order, as children of the message."""
    thoughts = sorted(rows.thoughts, key=lambda thought: (thought.position, thought.created_at))
    known = _prompts(prompt, len(thoughts))
    steps: list[Step] = []
    for number, thought in enumerate(thoughts):
        is_last = number == len(thoughts) - 1
        until = max(thought.created_at, ended_at if is_last else thoughts[number + 1].created_at)
        tools = _tool_steps(row, thought, until, notes)
        model_until = min((step.started_at for step in tools), default=until)
        given, asked = known[number]
        steps.append(
            _round_step(
                rows,
                row,
                thought,
                given,
                asked,
                message_recorded,
                status if is_last else Status.OK,
                model_until,
                notes,
            )
        )
        steps += tools
    return steps


def _round_step(
    rows: TraceRows,
    row: MessageRow,
    thought: ThoughtRow,
    prompt: tuple[PromptMessage, ...] | None,
    asked: tuple[ToolCall, ...],
    message_recorded: Recorded,
    status: Status,
    until: Micros,
    notes: list[str],
) -> Step:
    recorded, note = _recorded(thought, message_recorded, notes)
    answer = (thought.answer if not thought.tool else None) or thought.thought
    call = Call(
        call_id=f"thought:{thought.id}",
        kind="chat",
        provider=provider_name(row.model_provider),
        model=row.model_id,
        started_at=thought.created_at,
        ended_at=max(until, thought.created_at),
        status=status,
        recorded=recorded,
        prompt=prompt,
        answer=answer or None,
        tool_calls=asked or _named_tools(thought, notes),
        missing=("tool schemas",),
        user=rows.user,
        query=row.query,
        message_id=row.id,
        note=note or untold_price(row.total_price, row.message_unit_price, row.answer_unit_price),
    )
    return Step(
        span_id=ids.span_id(thought.id),
        parent_id=ids.span_id(row.id),
        kind=StepKind.MODEL,
        name=f"{row.model_id or 'model'} round {thought.position}",
        started_at=call.started_at,
        ended_at=call.ended_at,
        status=status,
        error=row.error if status is Status.ERROR else None,
        facts=(("round", thought.position),),
        call=call,
    )


def _recorded(thought: ThoughtRow, message: Recorded, notes: list[str]) -> tuple[Recorded, str | None]:
    """What Dify's record says of a round.

    The message's own columns are what Dify shows and sums. When they stayed 0 although the round's row has tokens
    (a later round failed, or the client hung up), Dify's number is 0, and what the round kept becomes a finding.
    """
    tokens = Tokens(
        token_count(thought.message_token, "message_agent_thoughts.message_token", notes),
        token_count(thought.answer_token, "message_agent_thoughts.answer_token", notes),
    )
    if message.tokens.total == 0 and tokens.total:
        kept = f"rounds_not_in_message:{tokens.input}+{tokens.output}"
        return Recorded(Tokens(0, 0), "messages (0 although the agent round has tokens)", 0), kept
    if tokens == Tokens() and thought.tokens is not None:
        total = token_count(thought.tokens, "the agent log's tokens", notes)
        if message.tokens.total == 0 and total:
            return Recorded(Tokens(0, 0), "messages (0 although the agent round has tokens)", 0), None
        return Recorded(tokens, "agent log (total of the round)", total), None
    priced = bool(thought.message_unit_price or thought.answer_unit_price)
    cost = money(thought.total_price, thought.currency, priced)
    rates = unit_prices(
        (thought.message_unit_price, thought.message_price_unit), (thought.answer_unit_price, thought.answer_price_unit),
        thought.currency,
    )  # fmt: skip
    return Recorded(tokens, "message_agent_thoughts", tokens.total, cost, rates), None


def _prompts(prompt: tuple[PromptMessage, ...] | None, count: int) -> list[Round]:
    """Per round: the prompt that was sent and the tool calls the model answered with, as far as they were kept."""
    unknown: list[Round] = [(None, ())] * count
    if prompt is None:
        return unknown
    asking = [place for place, item in enumerate(prompt) if item.role == "assistant" and item.tool_calls]
    last_user = max((place for place, item in enumerate(prompt) if item.role == "user"), default=-1)
    mine = [place for place in asking if place > last_user]
    if len(mine) == count - 1 or len(mine) == count:
        known: list[Round] = [(prompt[:place], prompt[place].tool_calls) for place in mine]
        return [*known, (prompt, ())][:count]
    unknown[-1] = (prompt, ())
    return unknown


def _named_tools(thought: ThoughtRow, notes: list[str]) -> tuple[ToolCall, ...]:
    """Tool calls from the round's row when the prompt did not keep them: names and inputs, no ids."""
    if not thought.tool:
        return ()
    inputs = parse_object(thought.tool_input, "message_agent_thoughts.tool_input", notes)
    return tuple(ToolCall(None, name, _json(inputs.get(name))) for name in thought.tool.split(";") if name)


def _tool_steps(row: MessageRow, thought: ThoughtRow, until: Micros, notes: list[str]) -> list[Step]:
    """Tool calls of a round. Only their durations are kept, so they are laid back to back before the next round."""
    names = [name for name in (thought.tool or "").split(";") if name]
    if not names:
        return []
    metas = parse_object(thought.tool_meta, "message_agent_thoughts.tool_meta_str", notes)
    inputs = parse_object(thought.tool_input, "message_agent_thoughts.tool_input", notes)
    results = parse_object(thought.observation, "message_agent_thoughts.observation", [])
    steps: list[Step] = []
    for number, name in reversed(list(enumerate(names))):
        meta = inner_object(metas.get(name))
        lasted = seconds_to_micros(meta.get("time_cost")) or 0
        started = max(thought.created_at, until - lasted)
        error = meta.get("error")
        steps.append(
            Step(
                span_id=ids.synthetic_span_id(ids.trace_id(row.id), "tool", thought.id, number),
                parent_id=ids.span_id(row.id),
                kind=StepKind.TOOL,
                name=name,
                started_at=started,
                ended_at=until,
                status=Status.ERROR if error else Status.OK,
                error=str(error) if error else None,
                input=_json(inputs.get(name)),
                output=_text(results.get(name, thought.observation)),
                facts=(("round", thought.position), *_tool_facts(meta)),
            )
        )
        until = started
    return _in_order(steps)


def _tool_facts(meta: Json) -> tuple[tuple[str, str], ...]:
    config = meta.get("tool_config")
    if not isinstance(config, dict):
        return ()
    return tuple(
        (fact, str(config[key]))
        for key, fact in (("tool_provider", "tool.provider"), ("tool_provider_type", "tool.provider_type"))
        if config.get(key)
    )


def _in_order(steps: Sequence[Step]) -> list[Step]:
    return list(reversed(steps))


def _json(value: object) -> str:
    return (
        value
        if isinstance(value, str)
        else orjson.dumps(value if value is not None else {}, default=str).decode()
    )


def _text(value: object) -> str | None:
    return None if value is None else _json(value)
