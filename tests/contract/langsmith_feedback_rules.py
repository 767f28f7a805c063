"""What LangSmith does with feedback: by its own id, on a run that is there, changed by PATCH.

Rules of the public API as the langsmith SDK uses it: a known id is a 409, an unknown run a 404 (the SDK tries again), scores
have at most four decimals, feedback extends a trace's retention unless told not to, and lists come in pages of 100.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Container
from typing import Any
from uuid import UUID

from tests.contract.twin_server import Refused

_KNOWN = {
    "id", "run_id", "trace_id", "session_id", "start_time", "key", "score", "value", "comment", "correction",
    "feedback_source", "feedback_config", "extend_trace_retention", "created_at", "modified_at",
}  # fmt: skip
_PAGE = 100

Note = Callable[[str], None]


class Feedback:
    """The feedback of one workspace. `poison` names ids that are refused."""

    def __init__(self, note: Note) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.posts: Counter[str] = Counter()
        self.patches: Counter[str] = Counter()
        self.deletions: Counter[str] = Counter()
        self.not_found = 0
        self.poison: set[str] = set()
        self._note = note

    def post(self, body: bytes, runs: Container[str], sessions: Container[str], *, is_lost: bool) -> None:
        """Take one feedback. Raises Refused."""
        row = json.loads(body)
        self._look(row)
        if row["id"] in self.poison:
            raise Refused(422, "refused")
        if row["run_id"] not in runs:
            self.not_found += 1
            raise Refused(404, "Run not found")
        if row["id"] in self.rows:
            raise Refused(409, "Feedback already exists")
        if row.get("session_id") not in sessions:
            self._note(f"{row['key']}: session {row.get('session_id')} is no project")
        self.posts[row["id"]] += 1
        if not is_lost:
            self.rows[row["id"]] = row

    def patch(self, feedback_id: str, body: bytes) -> None:
        """Change one feedback. Raises Refused(404) when it is not there."""
        if feedback_id not in self.rows:
            raise Refused(404, "Feedback not found")
        changed = json.loads(body)
        if set(changed) - {"score", "value", "comment", "correction"}:
            raise Refused(422, "unknown field")
        self._decimals(changed)
        self.patches[feedback_id] += 1
        self.rows[feedback_id] |= changed

    def delete(self, feedback_id: str) -> None:
        """Take one feedback away. Raises Refused(404) when it is not there."""
        if feedback_id not in self.rows:
            raise Refused(404, "Feedback not found")
        self.deletions[feedback_id] += 1
        del self.rows[feedback_id]

    def page(self, query: list[tuple[str, str]]) -> list[dict[str, Any]]:
        """`GET /feedback` with `run` and `key`, each as often as wanted."""
        asked: dict[str, list[str]] = {}
        for name, value in query:
            asked.setdefault(name, []).append(value)
        limit, offset = int(asked.get("limit", ["100"])[0]), int(asked.get("offset", ["0"])[0])
        if not 1 <= limit <= _PAGE:
            raise Refused(422, "limit must be at most 100")
        found = [
            row
            for row in self.rows.values()
            if row["run_id"] in asked.get("run", [row["run_id"]])
            and row["key"] in asked.get("key", [row["key"]])
        ]
        return found[offset : offset + limit]

    def of_run(self, run_id: str) -> dict[str, Any]:
        """Key → score, or value where there is no score."""
        return {
            row["key"]: row["value"] if row.get("score") is None else row["score"]
            for row in self.rows.values()
            if row["run_id"] == run_id
        }

    def _look(self, row: dict[str, Any]) -> None:
        if set(row) - _KNOWN or not row.get("key"):
            raise Refused(422, "unknown field, or no key")
        for name in ("id", "run_id", "trace_id"):
            try:
                UUID(row[name])
            except (KeyError, ValueError):
                raise Refused(422, f"{name} is not a UUID") from None
        self._decimals(row)
        if row.get("extend_trace_retention", True):
            self._note(f"{row['key']}: extends the retention of its trace, which is billed")

    def _decimals(self, row: dict[str, Any]) -> None:
        score = row.get("score")
        if isinstance(score, float) and round(score, 4) != score:
            raise Refused(422, "a score has at most four decimals")
