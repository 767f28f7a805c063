"""Prompt and answer of a call as JSON text, in the two shapes that platforms draw as a conversation.

`parts_*` is the shape of the OpenTelemetry GenAI conventions (role + parts); `chat_*` the older one of OpenAI's API
(role + content), which Langfuse and LangSmith draw. All texts pass the operator's content rule here. None means that
Dify kept nothing, or that nothing may be shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from exporter.model import Call, PromptMessage, Status, ToolCall
from exporter.spans.content import Content
from exporter.spans.text import clean

_FINISH = {
    "tool_calls": "tool_call",
    "function_call": "tool_call",
    "end_turn": "stop",
    "max_tokens": "length",
}


def parts_prompt(call: Call, content: Content) -> str | None:
    """`gen_ai.input.messages`."""
    return _json([_parts(message, texts) for message, texts in _prompt(call, content)])


def parts_answer(call: Call, content: Content) -> str | None:
    """`gen_ai.output.messages`: the one choice that Dify keeps."""
    if not content.is_kept or not _is_answered(call):
        return None
    message = _parts(_answer(call), iter(content.together(list(_texts(_answer(call))))))
    if call.reasoning:
        message["parts"].insert(0, {"type": "reasoning", "content": content(call.reasoning)})
    reason = _finish_reason(call)
    if reason:
        message["finish_reason"] = reason
    return _json([message])


def chat_prompt(call: Call, content: Content) -> list[dict[str, Any]] | None:
    """The prompt as OpenAI's `messages`."""
    return [_chat(message, texts) for message, texts in _prompt(call, content)] or None


def chat_answer(call: Call, content: Content) -> dict[str, Any] | None:
    """The answer as one OpenAI message."""
    if not content.is_kept or not _is_answered(call):
        return None
    message = _chat(_answer(call), iter(content.together(list(_texts(_answer(call))))))
    if call.reasoning:
        message["reasoning"] = content(call.reasoning)
    return message


def json_text(value: Any) -> str:
    """Compact JSON of values whose texts are clean already; keys in the order they were written."""
    return orjson.dumps(value).decode()


def _json(messages: list[dict[str, Any]]) -> str | None:
    return json_text(messages) if messages else None


def _prompt(call: Call, content: Content) -> Iterator[tuple[PromptMessage, Iterator[str]]]:
    """The prompt's messages, each with its allowed texts in the order of `_texts`.

    Without a prompt the end user's own words stand in for it; the span says that the prompt was not kept.
    """
    if not content.is_kept:
        return
    messages = call.prompt or ((PromptMessage("user", call.query),) if call.query else ())
    texts = iter(content.together([text for message in messages for text in _texts(message)]))
    for message in messages:
        yield message, texts


def _answer(call: Call) -> PromptMessage:
    return PromptMessage("assistant", call.answer or "", call.tool_calls)


def _is_answered(call: Call) -> bool:
    return bool(call.answer or call.tool_calls or call.reasoning)


def _texts(message: PromptMessage) -> Iterator[str]:
    yield message.text
    for tool_call in message.tool_calls:
        yield tool_call.arguments


def _parts(message: PromptMessage, texts: Iterator[str]) -> dict[str, Any]:
    text = next(texts)
    parts: list[dict[str, Any]] = []
    if message.role == "tool":
        parts.append({"type": "tool_call_response", "id": _clean(message.tool_call_id), "response": text})
    elif text:
        parts.append({"type": "text", "content": text})
    for tool_call in message.tool_calls:
        arguments = _parsed(next(texts))
        parts.append({"type": "tool_call", **_named(tool_call), "arguments": arguments})
    if message.media:
        parts.append({"type": "media_not_kept", "count": message.media})
    return {
        "role": clean(message.role),
        "parts": parts,
        **({"name": clean(message.name)} if message.name else {}),
    }


def _chat(message: PromptMessage, texts: Iterator[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"role": clean(message.role), "content": next(texts)}
    if message.tool_calls:
        found["tool_calls"] = [
            {
                "id": _clean(call.id),
                "type": "function",
                "function": {"name": clean(call.name), "arguments": next(texts)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        found["tool_call_id"] = clean(message.tool_call_id)
    if message.name:
        found["name"] = clean(message.name)
    if message.media:
        found["media_not_kept"] = message.media
    return found


def _named(tool_call: ToolCall) -> dict[str, str]:
    name = {"name": clean(tool_call.name)}
    return {"id": clean(tool_call.id), **name} if tool_call.id else name


def _clean(text: str | None) -> str | None:
    return None if text is None else clean(text)


def _parsed(arguments: str) -> Any:
    """Tool arguments as the JSON they spell, digit for digit, or as text when they spell none."""
    try:
        orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments
    return arguments if "\\u0000" in arguments else orjson.Fragment(arguments)


def _finish_reason(call: Call) -> str | None:
    if call.finish_reason:
        reason = call.finish_reason.lower()
        return _FINISH.get(reason, clean(reason))
    return "error" if call.status is Status.ERROR else None
