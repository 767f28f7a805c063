"""What a line of the recorded vendor log says, in the words that every gateway's converter needs."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Any

Line = dict[str, Any]
Entry = dict[str, Any]
BROKEN = ("stream_cut", "stream_error_event")
"""Faults after which an answer was billed and did not arrive whole."""


def started(line: Line) -> datetime:
    return datetime.fromisoformat(line["time"])


def ended(line: Line) -> datetime:
    return datetime.fromisoformat(line["end"])


def micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)


def is_failed(line: Line) -> bool:
    return line["usage"] is None


def is_anthropic(line: Line) -> bool:
    return line["path"] == "/v1/messages"


def is_dashscope(line: Line) -> bool:
    return line["path"].startswith("/api/v1/")


def operation(line: Line) -> str:
    return {"/v1/embeddings": "embeddings", "/v1/rerank": "rerank"}.get(line["path"], "chat")


def body(line: Line) -> dict[str, Any]:
    """The request body with its conversation at the top, as an OpenAI-compatible client would have sent it."""
    request = line["request"]
    if not is_dashscope(line):
        return request
    given = {name: value for name, value in request["parameters"].items() if name in ("tools", "stream")}
    return {"model": request["model"], **given, **request["input"]}


def user(line: Line) -> str | None:
    request = line["request"]
    return request.get("user") or (request.get("metadata") or {}).get("user_id")


def counts(line: Line) -> dict[str, int]:
    """The vendor's usage in one vocabulary, input with everything in it."""
    usage = line["usage"] or {}
    cached = usage.get("cache_read_input_tokens", 0)
    cached = cached or (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    written = usage.get("cache_creation_input_tokens", 0)
    own = usage.get("prompt_tokens", usage.get("input_tokens", usage.get("total_tokens", 0)))
    output = usage.get("completion_tokens", usage.get("output_tokens", 0))
    prompt = own + (cached + written if is_anthropic(line) else 0)
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens", 0)
    return {
        "own": own, "input": prompt, "output": output, "total": prompt + output,
        "cached": cached, "written": written, "reasoning": reasoning,
    }  # fmt: skip


def tool_calls(line: Line) -> list[dict[str, Any]]:
    """The answer's tool calls in OpenAI's form."""
    found = []
    for call in line["tool_calls"] or ():
        if call.get("type") == "tool_use":
            function = {"name": call["name"], "arguments": json.dumps(call["input"], ensure_ascii=False)}
            call = {"id": call["id"], "type": "function", "function": function}
        found.append(call)
    return found


def answered(line: Line) -> dict[str, Any]:
    """The answer as a whole body in OpenAI's form, as a gateway that translates or assembles has it."""
    message = {"role": "assistant", "content": line["response_text"] or None}
    if line.get("reasoning_text"):
        message["reasoning_content"] = line["reasoning_text"]
    if line["tool_calls"]:
        message["tool_calls"] = tool_calls(line)
    reason = "tool_calls" if line["tool_calls"] else "stop"
    return {
        "id": line["id"],
        "object": "chat.completion",
        "model": line.get("response_model") or line["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
    }


def vendor_body(line: Line) -> dict[str, Any]:
    """The vendor's own whole response, in the vendor's own form."""
    if operation(line) == "embeddings":
        return {
            "object": "list", "model": line["model"], "usage": line["usage"],
            "data": [{"object": "embedding", "index": 0, "embedding": "AAAA"}],
        }  # fmt: skip
    if operation(line) == "rerank":
        scored = [{"index": 0, "relevance_score": 0.5}]
        return {"id": line["id"], "model": line["model"], "results": scored, "usage": line["usage"]}
    if is_anthropic(line):
        texts = [{"type": "text", "text": line["response_text"]}] if line["response_text"] else []
        return {
            "type": "message", "id": line["id"], "role": "assistant", "model": line["model"],
            "content": [*texts, *(line["tool_calls"] or ())], "stop_reason": "end_turn", "usage": line["usage"],
        }  # fmt: skip
    if is_dashscope(line):
        message = answered(line)["choices"][0]["message"]
        choice = {"message": {**message, "content": line["response_text"] or ""}, "finish_reason": "stop"}
        return {"request_id": line["id"], "output": {"choices": [choice]}, "usage": line["usage"]}
    return {**answered(line), "usage": line["usage"]}


def with_system(line: Line) -> list[dict[str, Any]]:
    """The conversation with Anthropic's system prompt in front, as APISIX reads a request's content."""
    request = body(line)
    system = [{"role": "system", "content": request["system"]}] if "system" in request else []
    return [*system, *request["messages"]]


def texts_of(content: Any) -> list[str]:
    return [content] if isinstance(content, str) else [part["text"] for part in content if "text" in part]


def same_uuid(line: Line, what: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{what}:{line['id']}"))


def milliseconds(line: Line) -> int:
    return (micros(ended(line)) - micros(started(line)) + 999) // 1000


def rfc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"
