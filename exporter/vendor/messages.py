"""The conversation in a vendor's request body, and what the model answered, in Dify's plain form.

Reads the bodies of OpenAI chat and responses, legacy completions, Anthropic, DashScope and Gemini; what it does not
know it leaves out. Reads texts only to hand them to the fingerprints; keeps nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from exporter.model import PromptMessage, ToolCall


def prompt_of(request: object) -> tuple[PromptMessage, ...] | None:
    """The messages of a request body in order, system prompt first; None when it holds none."""
    if not isinstance(request, Mapping):
        return None
    return tuple(_conversation(request)) or None


def tool_calls_of(value: object) -> tuple[ToolCall, ...]:
    """Tool calls in OpenAI's form (`function.name`), Anthropic's (`tool_use`) or Gemini's (`functionCall`)."""
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
    for item in body if isinstance(body, list) else ():
        if isinstance(item, Mapping):
            yield from _messages(item)


def _messages(item: Mapping[str, Any]) -> Iterator[PromptMessage]:
    """One message, and one more per tool result inside it (Anthropic and Gemini send results as the user's words)."""
    content = item.get("content", item.get("parts"))
    parts = [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
    results = [part for part in (*parts, item) if _is_result(part)]
    others = [part for part in parts if not _is_result(part)]
    if others or not results:
        asked = (*tool_calls_of(item.get("tool_calls")), *tool_calls_of(others), *tool_calls_of([item]))
        given = item.get("tool_call_id")
        yield PromptMessage(
            role=str(item.get("role") or ("assistant" if asked else "user")),
            text=_text(content),
            tool_calls=asked,
            media=sum(1 for part in others if _part_text(part) is None and _tool_call(part) is None),
            tool_call_id=given if isinstance(given, str) else None,
        )
    for part in results:
        identity = part.get("tool_use_id") or part.get("call_id")
        text = _text(part.get("content", part.get("output")))
        yield PromptMessage("tool", text, tool_call_id=identity if isinstance(identity, str) else None)


def _is_result(part: Mapping[str, Any]) -> bool:
    return part.get("type") in ("tool_result", "function_call_output") or "functionResponse" in part


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
    function = item.get("function") or item.get("functionCall")
    if not isinstance(function, Mapping):
        if item.get("type") not in ("tool_use", "function_call"):
            return None
        function = item
    name = function.get("name")
    arguments = function.get("arguments", function.get("input", function.get("args")))
    identity = item.get("call_id") or item.get("id")
    if not isinstance(name, str):
        return None
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    return ToolCall(identity if isinstance(identity, str) else None, name, text)
