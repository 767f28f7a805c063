"""What the intake tests push, and how they look at what was stored."""

from __future__ import annotations

import socket
from typing import Any

import orjson

from exporter.demo import recording
from exporter.state.store import Store
from exporter.vendor.record import VendorCall

SECRET = "the launch code is 0000"
"""Stands in every pushed text; it must not come back in any answer or log line."""


def call(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A canonical record; None leaves a field out."""
    record = {
        "id": f"chatcmpl-{number}",
        "started_at": "2026-11-23T19:17:07.433Z",
        "ended_at": "2026-11-23T19:17:08.467Z",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "request": {"messages": [{"role": "user", "content": f"{SECRET}, question {number}"}]},
        "response_text": f"{SECRET}, answer {number}",
        "usage": {"prompt_tokens": 8, "completion_tokens": 47},
    } | changes
    return {name: value for name, value in record.items() if value is not None}


def recorded_calls() -> list[dict[str, Any]]:
    """The vendor records of the bundled recording."""
    episodes = recording.load("tests").episodes
    return [orjson.loads(text) for episode in episodes for text in episode.vendor_records(0)]


def stored(store: Store) -> dict[tuple[str, str], VendorCall]:
    """What the state holds of vendor requests, by source and id."""
    with store.read() as connection:
        rows = connection.execute("SELECT source, id, record FROM evidence").fetchall()
    return {(source, identity): VendorCall.from_json(record) for source, identity, record in rows}


def refused(store: Store) -> list[tuple[str, str, str]]:
    """Source, place and reason of what was refused."""
    with store.read() as connection:
        return list(
            connection.execute("SELECT source, place, reason FROM refused_evidence ORDER BY seen_at, place")
        )


def open_post(port: int, head: str, host: str = "127.0.0.1") -> socket.socket:
    """A connection on which the head of a POST was sent; `head` is the header lines without the last empty one."""
    connection = socket.create_connection((host, port), timeout=60)
    connection.sendall(
        f"POST /v1/vendor-calls/generic HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n\r\n".encode("latin-1")
    )
    return connection


def status_of(connection: socket.socket) -> int:
    """The status of the answer that comes next."""
    answer = b""
    while b"\r\n" not in answer:
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionError("closed without an answer")
        answer += piece
    return int(answer.split(b" ", 2)[1])
