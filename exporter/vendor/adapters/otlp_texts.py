"""The conversation and the answer in a GenAI span, in every place the conventions have put them.

Newest first: `gen_ai.input.messages` with parts, the same in an event, one event per message, and the numbered
attributes `gen_ai.prompt.0.content` of older instrumentation. The result is a request body and an answer in OpenAI's
form. Field names: OpenTelemetry GenAI semantic conventions, and OpenLLMetry for the numbered ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from exporter.vendor.adapters.entries import parsed
from exporter.vendor.adapters.otlp_values import Node, attributes, objects

Message = dict[str, Any]
_NUMBERED = re.compile(r"^gen_ai\.(prompt|completion)\.(\d{1,4})\.(.+)$")
_CALL = re.compile(r"^tool_calls\.(\d{1,4})\.(id|name|arguments)$")
_SPOKEN = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}


def conversation(span: Node, named: Node) -> list[Message] | None:
    """The messages that were sent, in order, or None where they were not recorded."""
    places = [named, *(attributes(event) for event in objects(span, "events"))]
    for place in places:
        messages = _messages(place.get("gen_ai.input.messages")) or _messages(place.get("gen_ai.prompt"))
        if messages:
            return [*_system(place.get("gen_ai.system_instructions")), *messages]
    return list(_spoken(span)) or _numbered(named, "prompt") or None


def answers(span: Node, named: Node) -> list[Message]:
    """The messages that came back."""
    places = [named, *(attributes(event) for event in objects(span, "events"))]
    for place in places:
        messages = _messages(place.get("gen_ai.output.messages")) or _messages(place.get("gen_ai.completion"))
        if messages:
            return messages
    return list(_choices(span)) or _numbered(named, "completion")


def _messages(value: object) -> list[Message]:
    """A list of messages, as a value or as JSON text; one message alone is a list too."""
    listed = parsed(value)
    if isinstance(listed, Mapping):
        listed = listed.get("messages", [listed])
    if not isinstance(listed, list):
        return []
    return [
        message for raw in listed if isinstance(item := parsed(raw), Mapping) for message in _expanded(item)
    ]


def _expanded(item: Node) -> Iterator[Message]:
    """One message, and one more per tool result among its parts."""
    parts = item.get("parts")
    if not isinstance(parts, list):
        inside = item.get("message")
        yield dict(inside if isinstance(inside, Mapping) else item)
        return
    found = [part for part in parts if isinstance(part, Mapping)]
    results = [part for part in found if part.get("type") == "tool_call_response"]
    contents = [_content(part) for part in found if _is_content(part)]
    calls = [_call(part) for part in found if part.get("type") == "tool_call"]
    if contents or calls or not results:
        message: Message = {"role": item.get("role"), "content": contents}
        yield {**message, "tool_calls": calls} if calls else message
    for part in results:
        given = _written(part.get("response", part.get("result")))
        yield {"role": "tool", "content": given, "tool_call_id": part.get("id")}


def _is_content(part: Node) -> bool:
    return part.get("type") not in ("tool_call", "tool_call_response", "reasoning", "thinking")


def _content(part: Node) -> Message:
    """A text part in OpenAI's form; other parts (pictures, files) keep their type and nothing else."""
    content = part.get("content", part.get("text"))
    if part.get("type") in ("text", None) and isinstance(content, str):
        return {"type": "text", "text": content}
    return {"type": part.get("type")}


def _call(part: Node) -> Message:
    return {
        "id": part.get("id"),
        "function": {"name": part.get("name"), "arguments": _written(part.get("arguments"))},
    }


def _system(value: object) -> list[Message]:
    instructions = parsed(value)
    if isinstance(instructions, str) and instructions:
        return [{"role": "system", "content": instructions}]
    if not isinstance(instructions, list) or not instructions:
        return []
    return [
        {"role": "system", "content": [_content(part) for part in instructions if isinstance(part, Mapping)]}
    ]


def _spoken(span: Node) -> Iterator[Message]:
    """One event per message, as conventions before 1.37 had it."""
    for event in objects(span, "events"):
        role = _SPOKEN.get(str(event.get("name")))
        if role is not None:
            said = attributes(event)
            message = {"role": said.get("role") or role, "content": said.get("content")}
            calls = parsed(said.get("tool_calls"))
            if isinstance(calls, list):
                message["tool_calls"] = calls
            if role == "tool" and isinstance(said.get("id"), str):
                message["tool_call_id"] = said["id"]
            yield message


def _choices(span: Node) -> Iterator[Message]:
    for event in objects(span, "events"):
        if event.get("name") == "gen_ai.choice":
            said = attributes(event)
            inside = parsed(said.get("message"))
            message = (
                dict(inside) if isinstance(inside, Mapping) else {"content": said.get("content") or inside}
            )
            calls = parsed(said.get("tool_calls"))
            yield {**message, "tool_calls": calls} if isinstance(calls, list) else message


def _numbered(named: Node, which: str) -> list[Message]:
    """`gen_ai.prompt.0.role`, `gen_ai.completion.0.tool_calls.0.name` and so on."""
    messages: dict[int, Message] = {}
    calls: dict[tuple[int, int], Message] = {}
    for name, value in named.items():
        place = _NUMBERED.match(name)
        if place is None or place[1] != which:
            continue
        message = messages.setdefault(int(place[2]), {})
        call = _CALL.match(place[3])
        if call is None:
            message[place[3]] = parsed(value) if place[3] == "content" and _is_parts(value) else value
        else:
            calls.setdefault((int(place[2]), int(call[1])), {})[call[2]] = value
    for (number, _), call_fields in sorted(calls.items()):
        messages[number].setdefault("tool_calls", []).append(_call(call_fields))
    return [messages[number] for number in sorted(messages)]


def _is_parts(value: object) -> bool:
    """Content parts were written as JSON text there; a plain answer that happens to be JSON is none."""
    listed = parsed(value)
    return (
        isinstance(listed, list)
        and bool(listed)
        and all(isinstance(part, Mapping) and "type" in part for part in listed)
    )


def _written(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return "" if value is None else json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return ""
