"""Answers that are made of blocks or parts: Anthropic's, Gemini's and Bedrock Converse's, whole or streamed.

Each function reads one body or event into a `Draft`; what it does not know it leaves out. Field names: the public API
references of the three.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from exporter.vendor.adapters.draft import Draft

Event = Mapping[str, Any]


def anthropic_message(event: Event, draft: Draft) -> None:
    """The whole message, or its head inside `message_start`."""
    draft.name(event.get("id"), event.get("model"))
    draft.is_finished = event.get("stop_reason") is not None
    for number, block in enumerate(objects(event.get("content"))):
        _anthropic_block(number, block, draft)


def anthropic_start(event: Event, draft: Draft) -> None:
    """`message_start`, which holds the message's head."""
    if isinstance(event.get("message"), Mapping):
        anthropic_message(event["message"], draft)


def anthropic_block_start(event: Event, draft: Draft) -> None:
    """`content_block_start`, which holds the block, still empty."""
    if isinstance(event.get("content_block"), Mapping):
        _anthropic_block(event.get("index"), event["content_block"], draft)


def _anthropic_block(place: object, block: Event, draft: Draft) -> None:
    if block.get("type") == "tool_use":
        draft.ask(str(place), block.get("id"), block.get("name"), block.get("input") or None)
    elif block.get("type") == "thinking":
        draft.think(block.get("thinking"))
    else:
        draft.write(block.get("text"))


def anthropic_delta(event: Event, draft: Draft) -> None:
    """`content_block_delta`: a piece of text, reasoning or a tool's arguments."""
    delta = event.get("delta")
    if isinstance(delta, Mapping):
        draft.write(delta.get("text"))
        draft.think(delta.get("thinking"))
        if "partial_json" in delta:
            draft.ask(str(event.get("index")), arguments=delta["partial_json"])


def anthropic_end(event: Event, draft: Draft) -> None:
    """`message_delta`, which tells why the answer ended."""
    delta = event.get("delta")
    stopped = isinstance(delta, Mapping) and delta.get("stop_reason") is not None
    draft.is_finished = draft.is_finished or stopped


def gemini(event: Event, draft: Draft) -> None:
    """A whole answer or an event, whose texts come in pieces; of several candidates the first is read."""
    draft.name(event.get("responseId"), event.get("modelVersion"))
    for candidate in objects(event.get("candidates")):
        if candidate.get("index") in (None, 0):
            content = candidate.get("content")
            for part in objects(content.get("parts") if isinstance(content, Mapping) else None):
                _gemini_part(part, draft)
            draft.is_finished = draft.is_finished or bool(candidate.get("finishReason"))


def _gemini_part(part: Event, draft: Draft) -> None:
    call = part.get("functionCall")
    if isinstance(call, Mapping):
        draft.ask(draft.new_place(), call.get("id"), call.get("name"), call.get("args") or {})
    (draft.think if part.get("thought") else draft.write)(part.get("text"))


def converse_block(place: object, block: Event, draft: Draft) -> None:
    """A content block of Converse, or a piece of one; its place tells which tool call arguments belong to."""
    draft.write(block.get("text"))
    call, thought = block.get("toolUse"), block.get("reasoningContent")
    if isinstance(call, Mapping):
        given = call.get("input")
        draft.ask(str(place), call.get("toolUseId"), call.get("name"), given if given != {} else None)
    if isinstance(thought, Mapping):
        inner = thought.get("reasoningText")
        draft.think(inner.get("text") if isinstance(inner, Mapping) else thought.get("text"))


def converse_event(event: Event, draft: Draft) -> bool:
    """An event of Bedrock's ConverseStream, under its name or as its inside; whether it was one."""
    for name in ("contentBlockStart", "contentBlockDelta", "messageStop", "metadata"):
        inner = event.get(name)
        if isinstance(inner, Mapping):
            return converse_event(inner, draft) or True
    place = event.get("contentBlockIndex")
    block = event.get("delta") or event.get("start")
    if place is not None and isinstance(block, Mapping):
        converse_block(place, block, draft)
        return True
    draft.is_finished = draft.is_finished or bool(event.get("stopReason"))
    return "stopReason" in event


def objects(value: object) -> Iterator[Event]:
    """The objects in a list; nothing for anything else."""
    return (item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else iter(())
