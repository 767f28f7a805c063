"""A twin of LiteLLM's spend log for tests: rows in, pages out, by the rules of its proxy.

Kept rules: bearer key of an admin; v2 wants both dates as `YYYY-MM-DD HH:MM:SS`, refuses large pages with 422, compares
startTime with both ends included, sorts as asked, counts to 10,000 and skips rows by offset, so pages shift when rows
come or go. An old proxy has no v2 and gives whole days; a very old one gives daily sums only.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.contract.twin_server import Refused, Request, Response, Twin, serve

MASTER_KEY = "sk-litellm-twin-master"
VIRTUAL_KEY = "sk-litellm-twin-user"
SORTABLE = ("spend", "total_tokens", "startTime", "endTime")
COUNTED = 10_000


def spend_row(record: dict[str, Any]) -> dict[str, Any]:
    """The row of LiteLLM_SpendLogs that a proxy writes for a recorded request (a canonical record)."""
    usage = record.get("usage") or {}
    cached = usage.get("cache_read_input_tokens", 0) + usage.get("cache_creation_input_tokens", 0)
    prompt = usage.get("prompt_tokens", usage.get("input_tokens", 0) + cached)
    completion = usage.get("completion_tokens", usage.get("output_tokens", 0))
    is_ok = record.get("status", "ok") != "error"
    return {
        "request_id": record["id"],
        "call_type": "aembedding" if record["operation"] == "embeddings" else "acompletion",
        "api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
        "spend": 0.0,
        "total_tokens": prompt + completion,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "startTime": record["started_at"],
        "endTime": record["ended_at"],
        "completionStartTime": record["ended_at"],
        "model": record["model"],
        "model_id": "",
        "model_group": record["model"],
        "custom_llm_provider": record["provider"],
        "api_base": "",
        "user": "default_user_id",
        "metadata": {"user_api_key_alias": "dify", "usage_object": usage, "status": None},
        "cache_hit": "False",
        "cache_key": "Cache OFF",
        "request_tags": [],
        "team_id": "",
        "end_user": record.get("user", ""),
        "requester_ip_address": None,
        "messages": {},
        "response": {},
        "proxy_server_request": {},
        "session_id": record["id"],
        "status": "success" if is_ok else "failure",
    }


class LiteLLMTwin(Twin):
    """`max_page` is what v2 takes at most, by version; `age`: `new`, `old` (no v2) or `oldest` (daily sums only);
    `day_cap`: rows that the older route hands out at most, 0 for all. `after_page` is called behind each page. With a
    `clock` it notes a violation when a page reaches into the present."""

    def __init__(
        self,
        rows: Iterable[dict[str, Any]] = (),
        *,
        max_page: int = 1000,
        age: str = "new",
        day_cap: int = 0,
        port: int = 0,
        state: Path | None = None,
    ) -> None:
        self.rows: list[dict[str, Any]] = list(rows)
        self.max_page, self.age, self.day_cap = max_page, age, day_cap
        self.after_page: Callable[[], None] = lambda: None
        self.pages: list[dict[str, str]] = []
        self.clock: datetime | None = None
        super().__init__(port=port, state=state)

    def recall(self, entry: dict[str, Any]) -> None:
        """Rows are given by the test."""
        self.rows.append(entry)

    def held(self) -> dict[str, Any]:
        """The rows."""
        return {"rows": self.rows}

    def answer(self, request: Request) -> Response:
        """One request to the proxy."""
        with self.lock:
            self._faults(request)
            self._authorize(request)
            if request.path == "/spend/logs/v2" and self.age == "new":
                response = self._page(request.query)
            elif request.path == "/spend/logs":
                response = self._days(request.query)
            else:
                raise Refused(404, "Not Found")
            self.pages.append(request.query)
            self.after_page()
            return response

    def _faults(self, request: Request) -> None:
        self.requests += 1
        if self._use("throttle"):
            raise Refused(429, "rate limit: " + SECRET, {"Retry-After": self.faults.retry_after})
        if self._use("fail"):
            raise Refused(500, "prisma: " + SECRET)
        if self._use("redirect"):
            raise Refused(302, "moved", {"Location": "https://login.invalid/start?token=secret"})

    def _authorize(self, request: Request) -> None:
        given = request.headers.get("authorization")
        if given is None:
            raise Refused(401, "Authentication Error, No api key passed in.")
        if given == f"Bearer {VIRTUAL_KEY}":
            raise Refused(403, "Only proxy admin can view spend")
        if given != f"Bearer {MASTER_KEY}":
            raise Refused(401, f"Authentication Error, Invalid proxy server token passed: {given}")

    def _page(self, query: dict[str, str]) -> Response:
        size, number = _whole(query, "page_size", 50), _whole(query, "page", 1)
        if not 1 <= size <= self.max_page or number < 1:
            raise Refused(422, f"Input should be less than or equal to {self.max_page}")
        since, until = (_moment(query.get(name)) for name in ("start_date", "end_date"))
        sort_by, order = query.get("sort_by", "startTime"), query.get("sort_order", "desc")
        if sort_by not in SORTABLE or order not in ("asc", "desc"):
            raise Refused(400, "Invalid sort")
        if self.clock is not None and until >= self.clock:
            self.note("end_date does not lie in the past")
        rows = [row for row in self.rows if since <= started(row) <= until]
        rows.sort(key=lambda row: row[sort_by], reverse=order == "desc")
        total = min(len(rows), COUNTED)
        return Response(
            200,
            {
                "data": rows[(number - 1) * size : number * size],
                "total": total,
                "page": number,
                "page_size": size,
                "total_pages": -(-total // size),
                "total_is_capped": len(rows) > COUNTED,
            },
        )

    def _days(self, query: dict[str, str]) -> Response:
        try:
            since, until = (
                datetime.strptime(query[name], "%Y-%m-%d").replace(tzinfo=UTC)
                for name in ("start_date", "end_date")
            )
        except (KeyError, ValueError):
            raise Refused(500, "/spend/logs Error") from None
        rows = [row for row in self.rows if since <= started(row) <= until]
        if query.get("summarize") != "false" or self.age == "oldest":
            days = sorted({started(row).date() for row in rows} | {until.date()})
            return Response(
                200, [{"startTime": str(day), "spend": 0, "users": {}, "models": {}} for day in days]
            )
        rows.sort(key=lambda row: row["startTime"], reverse=True)
        return Response(200, rows[: self.day_cap] if self.day_cap else rows)


SECRET = "the prompt said hunter2"
"""Put into every complaint of the twin; it may never reach a message of ours."""


def started(row: dict[str, Any]) -> datetime:
    """When a row's request began."""
    moment = datetime.fromisoformat(row["startTime"])
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def at(row: dict[str, Any], moment: datetime, name: str) -> dict[str, Any]:
    """A copy of a row under another id and time."""
    end = moment + timedelta(seconds=2)
    return {**row, "request_id": name, "startTime": moment.isoformat(), "endTime": end.isoformat()}


def _whole(query: dict[str, str], name: str, default: int) -> int:
    try:
        return int(query.get(name, default))
    except ValueError:
        raise Refused(422, f"{name} is not an integer") from None


def _moment(text: str | None) -> datetime:
    try:
        return datetime.strptime(text or "", "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        raise Refused(400, "Start date and end date are required, as YYYY-MM-DD HH:MM:SS") from None


def _make(options: argparse.Namespace) -> LiteLLMTwin:
    rows = [json.loads(line) for line in options.rows.read_text("utf-8").splitlines()] if options.rows else []
    return LiteLLMTwin(rows, port=options.port)


if __name__ == "__main__":
    serve(_make, lambda parser: parser.add_argument("--rows", type=Path))
