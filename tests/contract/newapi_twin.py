"""A twin of the request logs of new-api and one-api for tests: rows in, pages out, by the rules of each.

Kept rules: access token, for new-api with the user's id; refusals as HTTP 200 with `success: false`; both ends of the
time included; newest id first, by offset. one-api counts pages from 0, ignores page_size and gives a bare list of at
most ten rows; new-api counts from 1, takes 0 for 1, gives at most 100 rows with a total.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.contract.litellm_twin import SECRET
from tests.contract.twin_server import Refused, Request, Response, Twin, serve

TOKEN = "twin-access-token"
USER_ID = "1"
CONSUMED, FAILED = 2, 5
ONE_API_PAGE = 10


def log_row(number: int, record: dict[str, Any], *, is_new: bool = True) -> dict[str, Any]:
    """The row that new-api or one-api writes for a recorded request (a canonical record)."""
    usage = record.get("usage") or {}
    started_at, ended_at = (datetime.fromisoformat(record[name]) for name in ("started_at", "ended_at"))
    is_failed = record.get("status") == "error"
    row = {
        "id": number,
        "user_id": 1,
        "created_at": int(ended_at.timestamp()),
        "type": FAILED if is_failed and is_new else CONSUMED,
        "content": "" if is_failed else "模型倍率 0.075",
        "username": "root",
        "token_name": "dify",
        "model_name": record["model"],
        "quota": 0,
        "prompt_tokens": usage.get("prompt_tokens", usage.get("input_tokens", 0)),
        "completion_tokens": usage.get("completion_tokens", usage.get("output_tokens", 0)),
        "channel": 1,
        "is_stream": bool(record.get("stream")),
    }
    seconds = (ended_at - started_at).total_seconds()
    if not is_new:
        return {**row, "request_id": record["id"], "elapsed_time": int(seconds * 1000)}
    other = {"model_ratio": 0.075, "group_ratio": 1, "completion_ratio": 4}
    if "input_tokens" in usage:
        other |= {
            "claude": True,
            "usage_semantic": "anthropic",
            "cache_tokens": usage.get("cache_read_input_tokens", 0),
            "cache_creation_tokens": usage.get("cache_creation_input_tokens", 0),
        }
    return {
        **row,
        "use_time": int(seconds),
        "channel_name": "",
        "token_id": 3,
        "group": "default",
        "ip": "",
        "other": json.dumps(other),
    }


class NewApiTwin(Twin):
    """`kind`: `new-api`, `one-api`, or `zero-based`, a new-api answer with pages counted from 0 (some versions and forks
    do). `after_page` is called behind each page."""

    def __init__(
        self,
        rows: Iterable[dict[str, Any]] = (),
        *,
        kind: str = "new-api",
        port: int = 0,
        state: Path | None = None,
    ) -> None:
        self.rows: list[dict[str, Any]] = list(rows)
        self.kind = kind
        self.after_page: Callable[[], None] = lambda: None
        self.ignores_pages = False
        self.is_broken = False
        super().__init__(port=port, state=state)

    def recall(self, entry: dict[str, Any]) -> None:
        """Rows are given by the test."""
        self.rows.append(entry)

    def held(self) -> dict[str, Any]:
        """The rows."""
        return {"rows": self.rows}

    def answer(self, request: Request) -> Response:
        """One request to the gateway."""
        with self.lock:
            self.requests += 1
            if self._use("throttle"):
                raise Refused(429, SECRET, {"Retry-After": self.faults.retry_after})
            if self._use("fail"):
                raise Refused(503, SECRET)
            if self._use("hang_up"):
                return Response(200, hang_up=True)
            if request.path != "/api/log/":
                raise Refused(404, "not found")
            refusal = self._refusal(request)
            if refusal:
                return Response(200, {"success": False, "message": f"{refusal}: {SECRET}"})
            response = self._page(request.query)
            self.after_page()
            return response

    def _refusal(self, request: Request) -> str | None:
        if request.headers.get("authorization", "").removeprefix("Bearer ") != TOKEN:
            return "无权进行此操作，access token 无效"
        if self.kind != "one-api" and request.headers.get("new-api-user") != USER_ID:
            return "无权进行此操作，未提供 New-Api-User"
        return "database is locked" if self.is_broken else None

    def _page(self, query: dict[str, str]) -> Response:
        number, kind = _whole(query.get("p")), _whole(query.get("type"))
        since, until = _whole(query.get("start_timestamp")), _whole(query.get("end_timestamp"))
        rows = [
            row
            for row in self.rows
            if kind in (0, row["type"])
            and row["created_at"] >= since
            and (not until or row["created_at"] <= until)
        ]
        rows.sort(key=lambda row: row["id"], reverse=True)
        if self.kind == "one-api":
            first = 0 if self.ignores_pages else max(number, 0) * ONE_API_PAGE
            return Response(200, {"success": True, "message": "", "data": rows[first : first + ONE_API_PAGE]})
        size = min(_whole(query.get("page_size")) or ONE_API_PAGE, 100)
        if self.kind == "new-api":
            number = max(number, 1)
        first = (number if self.kind == "zero-based" else number - 1) * size
        items = rows[first : first + size]
        data = {"page": number, "page_size": size, "total": len(rows), "items": items or None}
        return Response(200, {"success": True, "message": "", "data": data})


def _whole(text: str | None) -> int:
    """What Go's strconv.Atoi leaves in the number when its error is ignored."""
    try:
        return int(text or "0")
    except ValueError:
        return 0


def _make(options: argparse.Namespace) -> NewApiTwin:
    rows = [json.loads(line) for line in options.rows.read_text("utf-8").splitlines()] if options.rows else []
    return NewApiTwin(rows, kind=options.kind, port=options.port)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--kind", default="new-api")


if __name__ == "__main__":
    serve(_make, _options)
