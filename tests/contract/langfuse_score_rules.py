"""What a Langfuse server does with scores: the ingestion door, the key of a score, which event wins, and reading back.

Rules measured against Langfuse 4.16: a readable batch is a 207 with one receipt for each event; a score is kept by id, name
and day; the event with the later timestamp gives value and comment, at equal times the old one stays; time, trace and
environment stay as first written. Servers before 3.179 have no `v3/scores`.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from tests.contract.twin_server import Refused

LARGEST_BATCH_BYTES = 4_500_000
_TYPES = {"NUMERIC": (int, float), "BOOLEAN": (int,), "CATEGORICAL": (str,), "TEXT": (str,)}
_ENVIRONMENT = re.compile(r"(?!langfuse)[a-z0-9_-]{1,40}")
_CONFIG_NAME = re.compile(r"[A-Za-z0-9_ .()-]{1,35}")

Note = Callable[[str], None]
Key = tuple[str, str, str]


class Scores:
    """The scores of one project. `poison` names scores that are refused, each event alone."""

    def __init__(self, note: Note) -> None:
        self.rows: dict[Key, dict[str, Any]] = {}
        self.arrivals: Counter[str] = Counter()
        self.deletions: Counter[str] = Counter()
        self.poison: set[str] = set()
        self.configs: list[dict[str, Any]] = []
        self.takes_events = True
        """False: a server whose ingestion API takes no scores any more."""
        self.takes_arrays = False
        """True: a server newer than 4.16, whose `POST /scores` takes an array."""
        self._note = note

    def batch(
        self, body: bytes, lose: Callable[[], bool], others: Callable[[dict[str, Any]], str | None]
    ) -> dict[str, list[dict[str, Any]]]:
        """Take a batch; the body of the 207. `lose` says of each event whether its receipt is a lie; `others` takes what is no
        score, or says why not."""
        if len(body) > LARGEST_BATCH_BYTES:
            raise Refused(413, "batch too large")
        try:
            events = json.loads(body)["batch"]
        except (ValueError, KeyError, TypeError):
            raise Refused(400, "invalid request data") from None
        answer: dict[str, list[dict[str, Any]]] = {"successes": [], "errors": []}
        for event in events:
            is_score = event.get("type") == "score-create"
            error = self.error(event) if is_score else others(event)
            if is_score and not self.takes_events:
                error = "score-create is not taken here"
            if error is not None:
                answer["errors"].append(
                    {"id": event.get("id"), "status": 400, "message": "Bad request", "error": error}
                )
                continue
            if is_score:
                self.arrivals[event["body"]["id"]] += 1
                if not lose():
                    self.put(event)
            answer["successes"].append({"id": event["id"], "status": 201})
        return answer

    def put(self, event: dict[str, Any]) -> None:
        """Keep one event's score, as the rules say."""
        body, moment = event["body"], event["timestamp"]
        key = (body["id"], body["name"], moment[:10])
        before = self.rows.get(key)
        if before is None:
            self.rows[key] = {**body, "timestamp": moment, "decided_at": moment}
        elif event.get("by_array") or moment > before["decided_at"]:
            if event.get("by_array") and moment != before["timestamp"]:
                self._note(f"score {body['name']}: an array updates under the same id and timestamp only")
            news = {name: body[name] for name in ("value", "comment", "metadata") if name in body}
            self.rows[key] = {**before, **news, "decided_at": moment}

    def delete(self, score_id: str) -> None:
        """Take a score away. Raises Refused(404) when there is none."""
        keys = [key for key in self.rows if key[0] == score_id]
        if not keys:
            raise Refused(404, "Score not found")
        self.deletions[score_id] += 1
        for key in keys:
            del self.rows[key]

    def page(self, query: dict[str, str], version: int) -> dict[str, Any]:
        """`GET v3/scores` (typed value, cursor) or `v2/scores` (value and stringValue, pages)."""
        most = 100 if version == 3 else 1000
        limit = int(query.get("limit", "50"))
        if not 1 <= limit <= most:
            raise Refused(400, f"limit must be between 1 and {most}")
        ids = query.get("id" if version == 3 else "scoreIds")
        rows = [row for row in self.rows.values() if ids is None or row["id"] in ids.split(",")]
        rows.sort(key=lambda row: (row["timestamp"], row["id"]), reverse=True)
        if version == 2:
            start = (int(query.get("page", "1")) - 1) * limit
            return {"data": [_second(row) for row in rows[start : start + limit]], "meta": {}}
        start = int(base64.urlsafe_b64decode(query["cursor"])) if "cursor" in query else 0
        more = start + limit < len(rows)
        meta = {"cursor": base64.urlsafe_b64encode(str(start + limit).encode()).decode()} if more else {}
        return {"data": [_third(row) for row in rows[start : start + limit]], "meta": meta}

    def configure(self, body: bytes) -> dict[str, Any]:
        """Make a score config; the server makes a second one of the same name without a word."""
        config = json.loads(body)
        if not _CONFIG_NAME.fullmatch(config.get("name", "")) or config.get("dataType") not in _TYPES:
            raise Refused(400, "invalid score config")
        labels = [category["label"] for category in config.get("categories", ())]
        if (config["dataType"] == "CATEGORICAL") != bool(labels) or len(set(labels)) < len(labels):
            raise Refused(400, "categories are those of categorical scores, each once")
        if config["name"] in {known["name"] for known in self.configs}:
            self._note(f"score config {config['name']} is made twice")
        self.configs.append({**config, "id": f"config-{len(self.configs)}", "isArchived": False})
        return self.configs[-1]

    def of_trace(self, trace_id: str) -> dict[str, Any]:
        """Name → value of the scores that a trace shows."""
        return {row["name"]: row["value"] for row in self.rows.values() if row["traceId"] == trace_id}

    def checks(self) -> list[str]:
        """Scores that are there twice."""
        counts = Counter(key[0] for key in self.rows)
        return [f"score {score_id} is held {count} times" for score_id, count in counts.items() if count > 1]

    def error(self, event: dict[str, Any]) -> str | None:
        """Why an event's score is refused, None when it is not."""
        body = event.get("body") or {}
        if not event.get("id"):
            return "an event needs an id"
        try:
            datetime.fromisoformat(event["timestamp"])
        except (KeyError, ValueError, TypeError):
            return "invalid timestamp"
        if not body.get("traceId") or not body.get("name"):
            return "a score needs a trace and a name"
        value, wanted = body.get("value"), _TYPES.get(body.get("dataType", ""))
        if wanted is None or isinstance(value, bool) or not isinstance(value, wanted):
            return f"value {value!r} does not fit its data type"
        if body["id"] in self.poison:
            return "refused"
        if not _ENVIRONMENT.fullmatch(body.get("environment", "default")):
            self._note(f"{body['name']}: environment {body['environment']!r} is not one")
        return None


def _third(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in ("id", "name", "value", "dataType", "timestamp", "environment")}


def _second(row: dict[str, Any]) -> dict[str, Any]:
    is_text = isinstance(row["value"], str)
    return {
        **row,
        "value": None if is_text else row["value"],
        "stringValue": row["value"] if is_text else None,
    }
