"""A recorded vendor request as an OpenTelemetry span with GenAI attributes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from tests.vendor.adapters.line_facts import (
    BROKEN,
    Entry,
    Line,
    answered,
    body,
    counts,
    ended,
    is_anthropic,
    is_failed,
    micros,
    operation,
    started,
    texts_of,
    tool_calls,
    user,
    with_system,
)


def otlp(line: Line) -> Entry:
    """One line of an OTLP file exporter: a client span with the newest GenAI attributes, messages in parts."""
    return _exported(line, _attributes(line, _newest(line)))


def otlp_old(line: Line) -> Entry:
    """A span of older instrumentation: `gen_ai.system`, `prompt_tokens`, numbered messages, ids in base64."""
    number = counts(line)
    named: dict[str, Any] = {
        "gen_ai.system": "openai",
        "gen_ai.request.model": line["model"],
        "gen_ai.user": user(line),
    }
    if operation(line) == "chat":
        named |= _numbered(line)
    else:
        named["gen_ai.operation.name"] = operation(line)
    if not is_failed(line):
        named |= {
            "gen_ai.usage.prompt_tokens": number["input"],
            "gen_ai.usage.completion_tokens": number["output"],
        }
        named["gen_ai.usage.cache_read_input_tokens"] = number["cached"]
        named["gen_ai.usage.cache_creation_input_tokens"] = number["written"]
    return _exported(line, _attributes(line, named), is_base64=True)


def otlp_events(line: Line) -> Entry:
    """A span whose messages are events, one for each."""
    named = {
        name: value
        for name, value in _newest(line).items()
        if not name.endswith((".messages", "_instructions"))
    }
    request = _exported(line, _attributes(line, named))
    if operation(line) == "chat":
        span = request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        span["events"] = list(_message_events(line))
    return request


def _newest(line: Line) -> dict[str, Any]:
    number = counts(line)
    named: dict[str, Any] = {
        "gen_ai.operation.name": operation(line),
        "gen_ai.provider.name": "anthropic" if is_anthropic(line) else "openai",
        "gen_ai.request.model": line["model"],
        "http.response.status_code": line["http_status"],
        "enduser.id": user(line),
    }
    if operation(line) == "chat":
        conversation = with_system(line)
        named["gen_ai.input.messages"] = json.dumps([_parts_message(message) for message in conversation])
        named["gen_ai.tool.definitions"] = json.dumps(body(line).get("tools") or [])
    if is_failed(line):
        return {**named, "error.type": str(line["http_status"])}
    if line["fault"] in BROKEN:
        named["error.type"] = "stream_error"
    if operation(line) == "chat":
        named["gen_ai.output.messages"] = json.dumps(
            [_parts_message(answered(line)["choices"][0]["message"])]
        )
    return {
        **named,
        "gen_ai.response.id": line["id"],
        "gen_ai.response.model": line.get("response_model"),
        "gen_ai.usage.input_tokens": number["input"],
        "gen_ai.usage.output_tokens": number["output"],
        "gen_ai.usage.cache_read.input_tokens": number["cached"],
        "gen_ai.usage.cache_creation.input_tokens": number["written"],
        "gen_ai.usage.reasoning.output_tokens": number["reasoning"],
    }


def _parts_message(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content") or []
    if message["role"] == "tool":
        return {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": message["tool_call_id"], "response": content}],
        }
    parts = [_part(part) for part in (content if isinstance(content, list) else [{"text": content}])]
    for call in message.get("tool_calls") or ():
        given = json.loads(call["function"]["arguments"])
        parts.append(
            {"type": "tool_call", "id": call["id"], "name": call["function"]["name"], "arguments": given}
        )
    return {"role": message["role"], "parts": parts}


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if part.get("type") == "tool_use":
        return {"type": "tool_call", "id": part["id"], "name": part["name"], "arguments": part["input"]}
    if part.get("type") == "tool_result":
        given = "".join(texts_of(part["content"]))
        return {"type": "tool_call_response", "id": part["tool_use_id"], "response": given}
    return (
        {"type": "text", "content": part["text"]} if "text" in part else {"type": "blob", "modality": "image"}
    )


def _numbered(line: Line) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for number, message in enumerate(with_system(line)):
        content = message.get("content")
        named[f"gen_ai.prompt.{number}.role"] = message["role"]
        named[f"gen_ai.prompt.{number}.content"] = (
            content if isinstance(content, str) else json.dumps(content)
        )
        named[f"gen_ai.prompt.{number}.tool_call_id"] = message.get("tool_call_id")
        named |= _numbered_calls(f"gen_ai.prompt.{number}", message.get("tool_calls") or ())
    if not is_failed(line):
        named["gen_ai.completion.0.role"] = "assistant"
        named["gen_ai.completion.0.content"] = line["response_text"] or None
        named |= _numbered_calls("gen_ai.completion.0", tool_calls(line))
    return named


def _numbered_calls(before: str, calls: Any) -> dict[str, Any]:
    named = {}
    for number, call in enumerate(calls):
        for name, value in (("id", call["id"]), *call["function"].items()):
            named[f"{before}.tool_calls.{number}.{name}"] = value
    return named


def _message_events(line: Line) -> Iterator[Entry]:
    for message in with_system(line):
        content = message.get("content")
        said = {
            "content": content if isinstance(content, str) else _anything(content),
            "id": message.get("tool_call_id"),
        }
        said["tool_calls"] = _anything(message.get("tool_calls"))
        role = message["role"]
        yield {"name": f"gen_ai.{role}.message", "attributes": _listed(said)}
    if not is_failed(line):
        message = answered(line)["choices"][0]["message"]
        yield {"name": "gen_ai.choice", "attributes": _listed({"index": 0, "message": json.dumps(message)})}


def _attributes(line: Line, named: dict[str, Any]) -> Entry:
    lasted = {
        "startTimeUnixNano": str(micros(started(line)) * 1000),
        "endTimeUnixNano": str(micros(ended(line)) * 1000),
    }
    failed = is_failed(line) or line["fault"] in BROKEN
    return {**lasted, "status": {"code": 2} if failed else {}, "attributes": _listed(named), "kind": 3}


def _exported(line: Line, span: Entry, is_base64: bool = False) -> Entry:
    trace, own = (hashlib.sha256(f"{line['id']}{kind}".encode()).digest() for kind in ("trace", "span"))
    ids = {"traceId": _id_text(trace[:16], is_base64), "spanId": _id_text(own[:8], is_base64)}
    scope = {"scope": {"name": "gateway"}, "spans": [{"name": f"chat {line['model']}", **ids, **span}]}
    resource = {"attributes": _listed({"service.name": "ai-gateway"})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}


def _id_text(raw: bytes, is_base64: bool) -> str:
    return base64.b64encode(raw).decode() if is_base64 else raw.hex()


def _listed(named: dict[str, Any]) -> list[Entry]:
    return [{"key": name, "value": _any_value(value)} for name, value in named.items() if value is not None]


def _any_value(value: Any) -> Entry:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any_value(item) for item in value]}}
    if isinstance(value, dict):
        pairs = [{"key": name, "value": _any_value(item)} for name, item in value.items() if item is not None]
        return {"kvlistValue": {"values": pairs}}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}


def _anything(value: Any) -> Any:
    return value or None
