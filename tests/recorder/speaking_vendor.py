"""The answers of a recorded vendor log, spoken again on the wire in each vendor's own form.

Bodies follow the vendors' public API references: OpenAI chat, embeddings and rerank, Anthropic messages, DashScope native.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

from recorder_rig import Seen, answer, chunk

Line = dict[str, Any]

ODD_SIZES = (1, 7, 64, 3, 1000, 2, 5)
"""Chunk sizes in turn, so that borders fall inside events, words and characters."""


def speak(lines: dict[int, Line], seen: Seen, connection: socket.socket) -> bool:
    """Answer the request whose header `X-Seq` names a line of the log."""
    line = lines[int(seen.header(b"x-seq") or b"")]
    if line["http_status"] >= 400:
        body = json.dumps({"error": {"message": "no", "type": line["fault"]}}).encode()
        return answer(connection, body, f"{line['http_status']} No", b"Content-Type: application/json")
    if not line["stream"]:
        return answer(
            connection, json.dumps(_whole(line)).encode(), "200 OK", b"Content-Type: application/json"
        )
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    stream, at, turn = b"".join(_events(line)), 0, 0
    while at < len(stream):
        size = ODD_SIZES[turn % len(ODD_SIZES)]
        connection.sendall(chunk(stream[at : at + size]))
        at, turn = at + size, turn + 1
    if line["fault"] == "stream_cut":
        return False
    connection.sendall(b"0\r\n\r\n")
    return True


def _whole(line: Line) -> dict[str, Any]:
    usage = line["usage"] if line["usage_in_reply"] else None
    if line["path"] == "/v1/embeddings":
        vectors = [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}]
        return {"object": "list", "data": vectors, "model": line["model"], "usage": usage}
    if line["path"] == "/v1/rerank":
        results = [{"index": 0, "relevance_score": 0.9}]
        return {"id": line["id"], "model": line["model"], "results": results, "usage": usage}
    if line["path"] == "/v1/messages":
        return {
            "id": line["id"], "type": "message", "role": "assistant", "model": line["model"],
            "content": _blocks(line), "stop_reason": "end_turn", "usage": usage,
        }  # fmt: skip
    if "aigc" in line["path"]:
        message = {"role": "assistant", "content": line["response_text"]}
        output = {"choices": [{"finish_reason": "stop", "message": message}]}
        return {"request_id": line["id"], "output": output, "usage": usage}
    message = {"role": "assistant", "content": line["response_text"], "tool_calls": line["tool_calls"]}
    return {
        "id": line["id"], "object": "chat.completion", "model": line["response_model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        **({"usage": usage} if usage else {}),
    }  # fmt: skip


def _blocks(line: Line) -> list[dict[str, Any]]:
    text = [{"type": "text", "text": line["response_text"]}] if line["response_text"] else []
    return text + list(line["tool_calls"] or [])


def _events(line: Line) -> Iterator[bytes]:
    if line["path"] == "/v1/messages":
        return _anthropic(line)
    return _dashscope(line) if "aigc" in line["path"] else _openai(line)


def _words(line: Line) -> Iterator[str]:
    text = line["response_text"] or ""
    return (text[at : at + 9] for at in range(0, len(text), 9))


def _openai(line: Line) -> Iterator[bytes]:
    head = {"id": line["id"], "object": "chat.completion.chunk", "model": line["response_model"]}

    def event(choices: list[Any], **more: Any) -> bytes:
        return (
            b"data: "
            + json.dumps({**head, "choices": choices, **more}, ensure_ascii=False).encode()
            + b"\n\n"
        )

    yield b": keep-alive\n\n"
    yield event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
    for word in _words(line):
        yield event([{"index": 0, "delta": {"content": word}, "finish_reason": None}], usage=None)
    for place, call in enumerate(line["tool_calls"] or []):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        begun = {
            "index": place,
            "id": call["id"],
            "type": "function",
            "function": {"name": name, "arguments": ""},
        }
        yield event([{"index": 0, "delta": {"tool_calls": [begun]}, "finish_reason": None}])
        for part in (arguments[:5], arguments[5:]):
            more = {"index": place, "function": {"arguments": part}}
            yield event([{"index": 0, "delta": {"tool_calls": [more]}, "finish_reason": None}])
    if line["fault"] == "stream_error_event":
        yield b'data: {"error": {"message": "no", "type": "server_error"}}\n\n'
        return
    if line["fault"] != "stream_cut":
        yield event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
        if line["usage_in_reply"]:
            yield event([], usage=line["usage"])
        yield b"data: [DONE]\n\n"


def _anthropic(line: Line) -> Iterator[bytes]:
    def event(kind: str, **fields: Any) -> bytes:
        body = json.dumps({"type": kind, **fields}, ensure_ascii=False)
        return f"event: {kind}\ndata: {body}\n\n".encode()

    head = {"id": line["id"], "type": "message", "role": "assistant", "model": line["model"], "content": []}
    yield event(
        "message_start", message={**head, "stop_reason": None, "usage": {**line["usage"], "output_tokens": 1}}
    )
    for place, block in enumerate(_blocks(line)):
        if block["type"] == "text":
            yield event("content_block_start", index=place, content_block={"type": "text", "text": ""})
            for word in _words(line):
                yield event("content_block_delta", index=place, delta={"type": "text_delta", "text": word})
        else:
            yield event("content_block_start", index=place, content_block={**block, "input": {}})
            part = json.dumps(block["input"])
            yield event(
                "content_block_delta", index=place, delta={"type": "input_json_delta", "partial_json": part}
            )
        yield event("content_block_stop", index=place)
    spoken = {"output_tokens": line["usage"]["output_tokens"]}
    yield event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=spoken)
    yield event("message_stop")


def _dashscope(line: Line) -> Iterator[bytes]:
    grows = not (line["request"].get("parameters") or {}).get("incremental_output")
    said = ""
    words = list(_words(line))
    for number, word in enumerate(words, start=1):
        said += word
        is_last = number == len(words)
        message = {"role": "assistant", "content": said if grows else word}
        choice = {"message": message, "finish_reason": "stop" if is_last else "null"}
        usage = line["usage"] if is_last else {**line["usage"], "output_tokens": number}
        body = json.dumps(
            {"output": {"choices": [choice]}, "usage": usage, "request_id": line["id"]}, ensure_ascii=False
        )
        yield f"id:{number}\nevent:result\n:HTTP_STATUS/200\ndata:{body}\n\n".encode()
