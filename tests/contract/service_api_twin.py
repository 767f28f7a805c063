"""A Dify app behind its Service API, and the vendor behind the app: it answers by Dify's documented rules, writes the message row
that Dify would write, and the vendor's log line, with known factors between what was used, what Dify records and what is billed.

Rules kept: Bearer key (401 without), `response_mode` streaming with server-sent events (message, message_end with ids; ping lines),
`user` needed (400), one message row a question, no title when `auto_generate_name` is false (else a hidden call is billed).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from exporter.local.vocabulary import count
from tests.contract.twin_server import Request, Response, Twin
from tests.e2e.living_dify import insert, message

KEY = "app-KEYOFTHETWIN"
ANSWER = "received."
MODEL = "gpt-4o-mini"


@dataclass
class Factors:
    """How the three sources count, from the true (input, output) of a prompt of that name."""

    recorded: Callable[[str, int, int], tuple[int, int]] = lambda prompt, given, answered: (given, answered)
    billed: Callable[[str, int, int], tuple[int, int]] = lambda prompt, given, answered: (given, answered)
    attempts: int = 1


def true_tokens(prompt: str) -> tuple[int, int]:
    """As OpenAI counts a single user message (its cookbook: 3 a message, 1 for the role, 3 for the answer's start) and the
    answer."""
    return count("o200k_base", prompt).tokens + 7, count("o200k_base", ANSWER).tokens


class ServiceApiTwin(Twin):
    """One chat app."""

    def __init__(self, database: str, vendor_log: Path | None, factors: Factors) -> None:
        super().__init__()
        self._database, self._log, self._factors = database, vendor_log, factors
        self.asked: list[str] = []
        self.fails_at: set[int] = set()
        self.breaks_off_at: set[int] = set()
        """Questions whose stream breaks off after its first event, though the answer is kept and billed."""

    def held(self) -> dict[str, Any]:
        return {"asked": self.asked}

    def answer(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return Response(
                401, {"code": "unauthorized", "message": "Access token is invalid", "status": 401}
            )
        if (request.method, request.path) == ("GET", "/v1/info"):
            return Response(
                200, {"name": "Support", "description": "", "tags": [], "mode": "chat", "author_name": "a"}
            )
        if (request.method, request.path) == ("POST", "/v1/chat-messages"):
            return self._chat(json.loads(request.body or b"{}"))
        return Response(
            404, {"code": "not_found", "message": "The requested URL was not found", "status": 404}
        )

    def _chat(self, body: dict[str, Any]) -> Response:
        if not body.get("user") or body.get("response_mode") != "streaming" or "query" not in body:
            return Response(400, {"code": "invalid_param", "message": "user is required", "status": 400})
        if body.get("auto_generate_name", True):
            self.note("a title was generated, which costs a call more")
        self.asked.append(body["query"])
        if len(self.asked) in self.fails_at:
            return Response(500, {"code": "internal_server_error", "message": "boom", "status": 500})
        identity = self._write(body["query"])
        events = [
            {"event": "message", "message_id": identity, "answer": ANSWER, "conversation_id": "c"},
            {
                "event": "message_end",
                "message_id": identity,
                "conversation_id": "c",
                "metadata": {"usage": {}},
            },
        ]
        lines = [b"event: ping\n\n", *(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)]
        headers = {"Content-Type": "text/event-stream"}
        if len(self.asked) in self.breaks_off_at:
            first = b"".join(lines[:2])
            unended = f"{len(first):x}\r\n".encode() + first + b"\r\n"
            return Response(
                200, raw=unended, headers={**headers, "Transfer-Encoding": "chunked", "Connection": "close"}
            )
        return Response(200, raw=b"".join(lines), headers=headers)

    def _write(self, prompt: str) -> str:
        identity, now = str(uuid4()), datetime.now(UTC)
        used = true_tokens(prompt)
        recorded = self._factors.recorded(prompt, *used)
        stamp = (now - timedelta(seconds=0.5)).replace(tzinfo=None).isoformat()
        row = message(identity, stamp) | {
            "id": identity, "query": prompt, "message": [{"role": "user", "text": prompt, "files": []}], "answer": ANSWER,
            "message_tokens": recorded[0], "answer_tokens": recorded[1], "provider_response_latency": 0.45,
            "updated_at": now.replace(tzinfo=None).isoformat(),
        }  # fmt: skip
        with psycopg.connect(self._database) as connection:
            insert(connection, "messages", [row])
        if self._log is not None:
            billed = self._factors.billed(prompt, *used)
            with self._log.open("a", encoding="utf-8") as log:
                for number in range(self._factors.attempts):
                    began = now - timedelta(seconds=0.45 - 0.2 * number)
                    log.write(json.dumps(self._record(prompt, began, billed)) + "\n")
        return identity

    def _record(self, prompt: str, began: datetime, billed: tuple[int, int]) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{uuid4().hex}", "started_at": began.isoformat(),
            "ended_at": (began + timedelta(seconds=0.15)).isoformat(), "operation": "chat",
            "provider": "openai", "model": MODEL, "status": "ok", "http_status": 200, "stream": True, "key": "team",
            "request": {"messages": [{"role": "user", "content": prompt}]}, "response_text": ANSWER,
            "usage": {"prompt_tokens": billed[0], "completion_tokens": billed[1]}, "usage_shape": "openai",
        }  # fmt: skip
