"""A twin of OpenRouter's activity for tests: rows of days in, the last 30 completed UTC days out.

Kept rules: a management key, a key for models is refused with 403; the day under way is not in it; days may still grow.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.contract.litellm_twin import SECRET
from tests.contract.twin_server import Refused, Request, Response, Twin, serve

MANAGEMENT_KEY = "sk-or-v1-twin-management"
MODEL_KEY = "sk-or-v1-twin-models"
DAYS = 30


def activity_rows(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The activity of recorded requests (canonical records), per day and model."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for record in records:
        usage = record.get("usage") or {}
        key = (record["started_at"][:10], record["model"])
        row = rows.setdefault(
            key,
            {
                "date": key[0],
                "model": f"openai/{key[1]}",
                "model_permaslug": f"openai/{key[1]}",
                "endpoint_id": "550e8400-e29b-41d4-a716-446655440000",
                "provider_name": "OpenAI",
                "usage": 0.0,
                "byok_usage_inference": 0.0,
                "requests": 0,
                "prompt_tokens": 0,
                "completion_tokens": 0,
                "reasoning_tokens": 0,
            },
        )
        row["requests"] += 1
        row["usage"] = round(row["usage"] + 0.001, 6)
        row["prompt_tokens"] += usage.get("prompt_tokens", usage.get("input_tokens", 0))
        row["completion_tokens"] += usage.get("completion_tokens", usage.get("output_tokens", 0))
    return list(rows.values())


class OpenRouterTwin(Twin):
    """`today` is the UTC day under way."""

    def __init__(
        self, rows: Iterable[dict[str, Any]], today: date, *, port: int = 0, state: Path | None = None
    ) -> None:
        self.rows, self.today = list(rows), today
        super().__init__(port=port, state=state)

    def recall(self, entry: dict[str, Any]) -> None:
        """Rows are given by the test."""
        self.rows.append(entry)

    def held(self) -> dict[str, Any]:
        """The rows."""
        return {"rows": self.rows}

    def answer(self, request: Request) -> Response:
        """One request."""
        with self.lock:
            self.requests += 1
            if self._use("throttle"):
                raise Refused(429, SECRET, {"Retry-After": self.faults.retry_after})
            if self._use("fail"):
                raise Refused(502, SECRET)
            if request.path != "/api/v1/activity":
                raise Refused(404, "not found")
            given = request.headers.get("authorization")
            if given == f"Bearer {MODEL_KEY}":
                raise Refused(403, "Only management keys can fetch activity for an account")
            if given != f"Bearer {MANAGEMENT_KEY}":
                raise Refused(401, f"No auth credentials found in {given}")
            first = (self.today - timedelta(days=DAYS)).isoformat()
            rows = [row for row in self.rows if first <= str(row.get("date"))[:10] < self.today.isoformat()]
            return Response(200, {"data": rows})


def _make(options: argparse.Namespace) -> OpenRouterTwin:
    return OpenRouterTwin([], datetime.now(UTC).date(), port=options.port)


if __name__ == "__main__":
    serve(_make, lambda parser: None)
