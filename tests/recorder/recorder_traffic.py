"""Calls and answers that can be told apart, for tests that count what came through."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from typing import Any

from recorder_rig import Recorder, Seen, answer, ask, post

REQUEST = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]}).encode()
STREAMED = json.dumps(
    {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
).encode()


def answer_number(number: int, pad: int = 0) -> bytes:
    """A chat answer whose text and output tokens say its number."""
    return json.dumps(
        {
            "id": f"chatcmpl-{number}", "object": "chat.completion", "model": "m-1",
            "choices": [{"index": 0, "message": {"content": f"answer {number}" + "x" * pad}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": number, "total_tokens": 1 + number},
        }
    ).encode()  # fmt: skip


def numbered(pad: int = 0) -> Callable[[Seen, socket.socket], bool]:
    """A vendor whose n-th answer says n."""
    lock, made = threading.Lock(), []

    def play(seen: Seen, connection: socket.socket) -> bool:
        with lock:
            made.append(seen)
            number = len(made)
        return answer(connection, answer_number(number, pad), "200 OK", b"Content-Type: application/json")

    return play


def traffic(running: Recorder, how_many: int) -> None:
    """So many calls that are all answered."""
    for _ in range(how_many):
        assert ask(running.port, post("/v1/chat/completions", REQUEST)).status == 200


def said(found: list[dict[str, Any]]) -> list[int]:
    """The numbers of the answers that records are of."""
    return sorted({record["usage"]["completion_tokens"] for record in found})


def word(text: str) -> bytes:
    """One event of a chat stream."""
    event = {"id": "chatcmpl-1", "model": "m-1", "choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: " + json.dumps(event).encode() + b"\n\n"
