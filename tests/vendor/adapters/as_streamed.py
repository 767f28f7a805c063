"""A recorded answer as the vendor's own stream of Server-Sent Events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.vendor.adapters.line_facts import BROKEN, Line, is_anthropic, is_dashscope, tool_calls


def vendor_stream(line: Line) -> str:
    """The vendor's own stream as Server-Sent Events; its last events are missing where it was cut."""
    events = list(_stream_events(line))
    if line["fault"] in BROKEN:
        events = [event for event in events if not _tells_end(event)]
    if line["fault"] == "stream_error_event":
        events.append({"error": {"message": "The server had an error", "type": "server_error"}})
    texts = [f"data: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events]
    is_done = "choices" in events[0] and line["fault"] not in BROKEN
    return "".join(texts) + ("data: [DONE]\n\n" if is_done else "")


def _tells_end(event: dict[str, Any]) -> bool:
    ends = event.get("choices") == [] or event.get("type") in ("message_delta", "message_stop")
    return ends or any(choice.get("finish_reason") for choice in event.get("choices", ()))


def _pieces(text: str | None, size: int = 7) -> list[str]:
    return [text[place : place + size] for place in range(0, len(text), size)] if text else []


def _stream_events(line: Line) -> Iterator[dict[str, Any]]:
    if is_anthropic(line):
        yield from _anthropic_events(line)
    elif is_dashscope(line):
        yield from _dashscope_events(line)
    else:
        yield from _openai_events(line)


def _openai_events(line: Line) -> Iterator[dict[str, Any]]:
    head = {
        "id": line["id"],
        "object": "chat.completion.chunk",
        "model": line.get("response_model") or line["model"],
    }

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "usage": None}

    yield chunk({"role": "assistant", "content": ""})
    for piece in _pieces(line.get("reasoning_text")):
        yield chunk({"reasoning_content": piece})
    for piece in _pieces(line["response_text"]):
        yield chunk({"content": piece})
    for index, call in enumerate(tool_calls(line)):
        function = {"name": call["function"]["name"], "arguments": ""}
        yield chunk(
            {"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": function}]}
        )
        for piece in _pieces(call["function"]["arguments"]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, "tool_calls" if line["tool_calls"] else "stop")
    if line["request"].get("stream_options"):
        yield {**head, "choices": [], "usage": line["usage"]}


def _anthropic_events(line: Line) -> Iterator[dict[str, Any]]:
    begin = {name: count for name, count in line["usage"].items() if name != "output_tokens"}
    message = {
        "type": "message",
        "id": line["id"],
        "role": "assistant",
        "model": line["model"],
        "content": [],
    }
    message |= {"stop_reason": None, "usage": {**begin, "output_tokens": 1}}
    yield {"type": "message_start", "message": message}
    blocks = [{"type": "text", "text": ""}] if line["response_text"] else []
    blocks += [{**call, "input": {}} for call in line["tool_calls"] or ()]
    for index, block in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        if block["type"] == "text":
            deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(line["response_text"])]
        else:
            given = line["tool_calls"][index - len(blocks) + len(line["tool_calls"])]["input"]
            deltas = [
                {"type": "input_json_delta", "partial_json": piece} for piece in _pieces(json.dumps(given))
            ]
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ends = {"stop_reason": "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": ends, "usage": {"output_tokens": line["usage"]["output_tokens"]}}
    yield {"type": "message_stop"}


def _dashscope_events(line: Line) -> Iterator[dict[str, Any]]:
    """Each event repeats the text from its beginning unless the request asked for increments; usage counts so far."""
    is_incremental = line["request"]["parameters"].get("incremental_output") is True
    told, pieces = "", _pieces(line["response_text"], 20) or [""]
    for number, piece in enumerate(pieces, 1):
        told += piece
        message: dict[str, Any] = {"role": "assistant", "content": piece if is_incremental else told}
        if number == len(pieces) and line["tool_calls"]:
            message["tool_calls"] = tool_calls(line)
        reason = "stop" if number == len(pieces) else "null"
        share = line["usage"]["output_tokens"] * number // len(pieces)
        yield {
            "request_id": line["id"],
            "output": {"choices": [{"message": message, "finish_reason": reason}]},
            "usage": {**line["usage"], "output_tokens": share},
        }
