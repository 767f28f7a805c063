"""Turn a recorded vendor log (the stand-in vendor's own lines) into canonical vendor records.

    python tests/vendor/convert_recording.py vendor-calls.jsonl records.jsonl

The log's `seq`, `kind` and `fault` are the truth of the recording and do not pass over; `truth()` reads them for tests.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OPERATIONS = {"/v1/embeddings": "embeddings", "/v1/rerank": "rerank"}
PROVIDERS = {"/v1/messages": "anthropic", "/api/v1/services/aigc/text-generation/generation": "tongyi"}
SHAPES = {"anthropic": "anthropic", "tongyi": "dashscope", "openai": "openai"}


def canonical(line: dict[str, Any], source: str = "recording") -> dict[str, Any]:
    """The canonical record of one line of the log."""
    provider = PROVIDERS.get(line["path"], "openai")
    request = line["request"]
    record = {
        "id": line["id"],
        "source": source,
        "started_at": line["time"],
        "ended_at": line["end"],
        "operation": OPERATIONS.get(line["path"], "chat"),
        "provider": provider,
        "model": line["model"],
        "response_model": line.get("response_model"),
        "status": _status(line),
        "http_status": line["http_status"],
        "stream": line["stream"],
        "user": request.get("user") or (request.get("metadata") or {}).get("user_id"),
        "key": line.get("key_tail"),
        "request": request,
        "response_text": line["response_text"],
        "tool_calls": line["tool_calls"],
        "usage": line["usage"],
        "usage_shape": SHAPES[provider],
    }
    return {name: value for name, value in record.items() if value is not None}


def _status(line: dict[str, Any]) -> str:
    """Without usage the attempt failed and was free; a stream that broke is billed, but was not received whole."""
    if line["usage"] is None:
        return "error"
    return "aborted" if line["fault"] in ("stream_cut", "stream_error_event") else "ok"


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a recorded log."""
    with path.open(encoding="utf-8") as log:
        for text in log:
            yield json.loads(text)


def convert(source: Path, target: Path) -> int:
    """Write the canonical records of a log as JSON Lines; returns how many."""
    records = [canonical(line) for line in lines(source)]
    target.write_text(
        "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8"
    )
    return len(records)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
