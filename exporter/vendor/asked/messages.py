"""The conversation in a vendor's request body, and what the model answered, in Dify's plain form.

Reads the bodies of OpenAI chat and responses, legacy completions, Anthropic, DashScope, Gemini and Bedrock Converse;
what it does not know it leaves out. Reads texts only to hand them to the fingerprints; keeps nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from exporter.model import PromptMessage, ToolCall
from exporter.vendor.hidden.inputs import bare_texts


def prompt_of(request: object) -> tuple[PromptMessage, ...] | None:
    """The messages of a request body in order, system prompt first; None when it holds none."""
    if not isinstance(request, Mapping):
        return None
    return tuple(_conversation(request)) or None


def tool_calls_of(value: object) -> tuple[ToolCall, ...]:
    """Tool calls in OpenAI's form (`function.name`), Anthropic's (`tool_use`), Gemini's (`functionCall`) or Bedrock's
    (`toolUse`)."""
    if not isinstance(value, list):
        return ()
    return tuple(call for item in value if (call := _tool_call(item)) is not None)


def _conversation(request: Mapping[str, Any]) -> Iterator[PromptMessage]:
    for name in ("system", "instructions", "systemInstruction"):
        if request.get(name):
            yield PromptMessage("system", _text(request[name]))
    body = request.get("messages") or request.get("contents") or request.get("input") or request.get("prompt")
    if isinstance(body, Mapping):
        body = body.get("messages") or body.get("prompt")
    if isinstance(body, str):
        yield PromptMessage("user", body)
    yield from (PromptMessage("user", text) for text in bare_texts(request))
    for item in body if isinstance(body, list) else ():
        if isinstance(item, Mapping) and item.get("type") != "reasoning":
            yield from _messages(item)


def _messages(item: Mapping[str, Any]) -> Iterator[PromptMessage]:
    """One message, and one more per tool result inside it (Anthropic and Gemini send results as the user's words)."""
    content = item.get("content", item.get("parts"))
    parts = [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
    results = [part for part in (*parts, item) if _is_result(part)]
    others = [part for part in parts if not _is_result(part)]
    if others or not results:
        asked = (*tool_calls_of(item.get("tool_calls")), *tool_calls_of(others), *tool_calls_of([item]))
        given, role = item.get("tool_call_id"), item.get("role")
        yield PromptMessage(
            role=role if isinstance(role, str) and role else "assistant" if asked else "user",
            text=_text(content),
            tool_calls=asked,
            media=sum(1 for part in others if _is_media(part)),
            tool_call_id=given if isinstance(given, str) else None,
            name=_name(item, role),
        )
    for part in results:
        inside = part.get("toolResult")
        part = inside if isinstance(inside, Mapping) else part
        identity = part.get("tool_use_id") or part.get("call_id") or part.get("toolUseId")
        text = _text(part.get("content", part.get("output")))
        yield PromptMessage("tool", text, tool_call_id=identity if isinstance(identity, str) else None)


def _name(item: Mapping[str, Any], role: object) -> str | None:
    """The name of a participant; that of a tool's answer is not part of the prompt."""
    name = item.get("name")
    return name if isinstance(name, str) and name and role not in ("tool", "function") else None


def _is_result(part: Mapping[str, Any]) -> bool:
    is_named = "functionResponse" in part or "toolResult" in part
    return is_named or part.get("type") in ("tool_result", "function_call_output")


def _is_media(part: Mapping[str, Any]) -> bool:
    """A picture, sound or file: what is neither text nor tool call, nor reasoning that is sent back, nor a cache mark."""
    is_thought = (
        part.get("type") in ("thinking", "redacted_thinking", "reasoning") or "reasoningContent" in part
    )
    return (
        not is_thought and "cachePoint" not in part and _part_text(part) is None and _tool_call(part) is None
    )


def _text(content: object) -> str:
    """The text of a content value: text parts joined without a separator, as Dify joins them when it saves a prompt."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = content.get("parts", [content])
    if not isinstance(content, list):
        return ""
    texts = (
        part if isinstance(part, str) else _part_text(part)
        for part in content
        if isinstance(part, str | Mapping)
    )
    return "".join(text for text in texts if text)


def _part_text(part: Mapping[str, Any]) -> str | None:
    text = part.get("text")
    return text if isinstance(text, str) and not _is_result(part) else None


def _tool_call(item: object) -> ToolCall | None:
    if not isinstance(item, Mapping):
        return None
    function = item.get("function") or item.get("functionCall") or item.get("toolUse")
    if not isinstance(function, Mapping):
        if item.get("type") not in ("tool_use", "function_call"):
            return None
        function = item
    name = function.get("name")
    arguments = function.get("arguments", function.get("input", function.get("args")))
    identity = item.get("call_id") or item.get("id") or function.get("toolUseId")
    if not isinstance(name, str):
        return None
    return ToolCall(identity if isinstance(identity, str) else None, name, _arguments(arguments))


def _arguments(value: object) -> str:
    """Arguments as the vendor wrote them, or as JSON; empty where they have no JSON form (nested without end)."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value or {}, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return ""
