"""A twin of a Langfuse server for tests: one of its three kinds behind one address, with its stores and read APIs.

Kept rules: keys; ingestion version; whole-request 400; a 200 whose body is a queue job; asynchronous storing; v4 keeps
(trace, span, start in ms) and replaces; v3 keeps the span id alone, merges, and lets another trace steal it. Scores are stored
at once (`langfuse_score_rules`). Traces by the ingestion API, as Dify's own tracing writes them: `langfuse_ingestion_rules`.
"""

from __future__ import annotations

import argparse
import base64
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.contract import langfuse_rules as rules
from tests.contract import langfuse_score_doors
from tests.contract.langfuse_ingestion_rules import Ingested
from tests.contract.langfuse_score_rules import Scores
from tests.contract.twin_server import Refused, Request, Response, Twin, serve, spans_of

PUBLIC_KEY = "pk-lf-twin"
SECRET_KEY = "sk-lf-twin"
PROJECT = "twin-project"
_GROUPS = {
    "core": ("id", "traceId", "startTime", "endTime", "projectId", "parentObservationId", "type"),
    "basic": ("name", "level", "statusMessage", "version", "environment", "userId", "sessionId"),
    "io": ("input", "output"),
    "metadata": ("metadata",),
    "model": ("model", "modelParameters"),
    "usage": ("usageDetails", "costDetails"),
    "time": ("completionStartTime",),
    "trace_context": ("tags", "traceName"),
    "metrics": (),
    "prompt": (),
}


class LangfuseTwin(Twin):
    """`mode` is legacy, dual or events_only; accepted spans can be read after `delay` seconds."""

    def __init__(
        self,
        mode: str = "events_only",
        *,
        delay: float = 0.0,
        staging: float = 600.0,
        port: int = 0,
        state: Path | None = None,
    ) -> None:
        self.mode, self.delay, self.staging = mode, delay, staging
        self.events: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.observations: dict[str, dict[str, Any]] = {}
        self.arrivals: Counter[tuple[str, str]] = Counter()
        self.stolen: list[tuple[str, str]] = []
        self.scores = Scores(self.note)
        self.has_ingestion = True
        self.ingested = Ingested(self.note)
        super().__init__(port=port, state=state)

    # ── requests ────────────────────────────────────────────────────────────────────────────────────────────

    def answer(self, request: Request) -> Response:
        """Route one request."""
        if request.path == "/api/public/health":
            return Response(
                200, {"status": "OK", "version": "4.16.0" if self.mode != "legacy" else "3.170.0"}
            )
        self._authorize(request)
        if request.path == "/api/public/otel/v1/traces":
            return self._export(request)
        if request.path == "/api/public/ingestion" and request.method == "POST" and self.has_ingestion:
            return self._ingest(request)
        if request.path == "/api/public/score-configs":
            return self._score_configs(request)
        if request.path == "/api/public/scores" and request.method == "POST":
            return self._second_door(request)
        if request.path.startswith("/api/public/scores/") and request.method == "DELETE":
            with self.lock:
                self.scores.delete(request.path.rpartition("/")[2])
            return Response(200, {"message": "Score deletion queued successfully"})
        if request.method != "GET":
            raise Refused(405, "method not allowed")
        self.read()
        if request.path == "/api/public/projects":
            return Response(200, {"data": [{"id": PROJECT, "name": "Twin"}]})
        if request.path == "/api/public/v2/observations" and self.mode != "legacy":
            return self._v2_observations(request.query)
        if request.path == f"/api/public/v{self._scores_version}/scores":
            with self.lock:
                return Response(200, self.scores.page(request.query, self._scores_version))
        if request.path.startswith("/api/public/traces"):
            return self._v1_traces(request)
        raise Refused(404, "not found")

    def _authorize(self, request: Request) -> None:
        expected = "Basic " + base64.b64encode(f"{PUBLIC_KEY}:{SECRET_KEY}".encode()).decode()
        if request.headers.get("authorization") != expected:
            raise Refused(401, "Invalid credentials")

    def _export(self, request: Request) -> Response:
        if request.method != "POST":
            raise Refused(405, "method not allowed")
        version = request.headers.get("x-langfuse-ingestion-version")
        if version is not None and (not version.isdecimal() or int(version) > 4):
            raise Refused(400, "unsupported ingestion version")
        if self.mode == "dual" and version != "4":
            self.note("without x-langfuse-ingestion-version: 4 a dual server shows spans ten minutes late")
        job = {"id": f"job-{self.requests}", "name": "otel-ingestion-job", "data": {"projectId": PROJECT}}
        return Response(200, job, hang_up=self.take(request, lambda export: self._store(export, version)))

    @property
    def _scores_version(self) -> int:
        """The read API for scores of this server: the legacy one is too old for the newest."""
        return 2 if self.mode == "legacy" else 3

    def _ingest(self, request: Request) -> Response:
        answer: dict[str, Any] = {}
        hang_up = self.take_any(request, lambda: answer.update(self._batch(request.body)))
        return Response(207, answer, hang_up=hang_up)

    def _second_door(self, request: Request) -> Response:
        answers: list[Response] = []
        hang_up = self.take_any(
            request,
            lambda: answers.append(
                langfuse_score_doors.take(
                    self.scores, request.body, self.is_lost, lambda event: self.remember({"score": event})
                )
            ),
        )
        return Response(0, hang_up=True) if hang_up else answers[0]

    def _score_configs(self, request: Request) -> Response:
        with self.lock:
            if request.method == "POST":
                return Response(200, self.scores.configure(request.body))
            page, limit = int(request.query.get("page", "1")), int(request.query.get("limit", "50"))
            if not 1 <= limit <= 100:
                raise Refused(400, "limit must be between 1 and 100")
            return Response(200, {"data": self.scores.configs[(page - 1) * limit : page * limit], "meta": {}})

    def _batch(self, body: bytes) -> dict[str, Any]:
        answer = self.scores.batch(body, self.is_lost, self._take_event)
        taken = {success["id"] for success in answer["successes"]}
        for event in json.loads(body)["batch"]:
            if event["id"] in taken:
                self.remember({"score" if event["type"] == "score-create" else "ingested": event})
        return answer

    def _take_event(self, event: dict[str, Any]) -> str | None:
        """An event of the ingestion API that is no score; why it is refused, if it is."""
        error = self.ingested.error(event, self.mode)
        if error is None and not self.is_lost():
            self.recall({"ingested": event})
        return error

    def _v2_observations(self, query: dict[str, str]) -> Response:
        limit = int(query.get("limit", "50"))
        if not 1 <= limit <= 1000:
            raise Refused(400, "limit must be between 1 and 1000")
        groups = query.get("fields", "core,basic").split(",")
        unknown = [group for group in groups if group not in _GROUPS]
        if unknown:
            raise Refused(400, f"unknown fields {unknown}")
        names = [name for group in {"core", *groups} for name in _GROUPS[group]]
        rows = [row for row in self._visible(self.events) if _matches(row, query)]
        rows.sort(key=lambda row: (row["startTime"], row["traceId"], row["id"]), reverse=True)
        start = int(base64.b64decode(query["cursor"])) if "cursor" in query else 0
        more = start + limit < len(rows)
        cursor = base64.b64encode(str(start + limit).encode()).decode() if more else None
        data = [
            {**{name: row.get(name) for name in names}, "projectId": PROJECT}
            for row in rows[start : start + limit]
        ]
        return Response(200, {"data": data, "meta": {"cursor": cursor}})

    def _v1_traces(self, request: Request) -> Response:
        if self.mode == "events_only":
            raise Refused(404, "This endpoint is not available in events_only mode")
        rows = self._visible(self.observations)
        trace_id = request.path.removeprefix("/api/public/traces").strip("/")
        if not trace_id:
            return _v1_trace_list(rows, request.query)
        mine = [row for row in rows if row["traceId"] == trace_id]
        with self.lock:
            known = self.ingested.shown(trace_id)
        if not mine and known is None:
            raise Refused(404, "Trace not found within authorized project")
        tags = sorted({tag for row in mine for tag in row["tags"]})
        return Response(
            200, {"tags": tags, **(known or {}), "id": trace_id, "observations": mine, "scores": []}
        )

    # ── stores ──────────────────────────────────────────────────────────────────────────────────────────────

    def _store(self, export: Any, version: str | None) -> None:
        found = list(spans_of(export))
        for span, _, _ in found:
            if not span.trace_id or not span.span_id:
                raise Refused(400, "span without trace id or span id")
        for span, resource, _ in found:
            if not any(span.trace_id) or not any(span.span_id):
                self.note(f"{span.name}: an id is all zero")
            row = rules.observation(span, resource, self.note)
            self.arrivals[row["traceId"], row["id"]] += 1
            if self.is_lost():
                continue
            late = self.staging if self.mode == "dual" and version != "4" else 0.0
            self._keep(row, time.monotonic() + self.delay, late)

    def _keep(self, row: dict[str, Any], visible_at: float, staged: float) -> None:
        if self.mode != "legacy":
            self.recall({"event": {**row, "visible_at": visible_at + staged}})
            self.remember({"event": row})
        if self.mode != "events_only":
            before = self.observations.get(row["id"])
            if before is not None and before["traceId"] != row["traceId"]:
                self.stolen.append((before["traceId"], row["id"]))
                self.note(
                    f"{row['name']}: span id {row['id']} is in two traces; the first one loses its span"
                )
            self.recall({"observation": {**row, "visible_at": visible_at}})
            self.remember({"observation": row})

    def recall(self, entry: dict[str, Any]) -> None:
        """Put one row into its store, as its rules say."""
        if "score" in entry:
            self.scores.put(entry["score"])
            return
        if "ingested" in entry:
            row = self.ingested.take(entry["ingested"])
            if row is not None:
                now = time.monotonic()
                self.observations[row["id"]] = {**row, "visible_at": now + self.delay}
                if self.mode == "dual":
                    key = (row["traceId"], row["id"], row["startTime"])
                    self.events[key] = {**row, "visible_at": now + self.staging}
            return
        if "event" in entry:
            row = entry["event"]
            self.events[row["traceId"], row["id"], row["startTime"]] = row
            return
        row = entry["observation"]
        before = self.observations.get(row["id"])
        if before is None or before["traceId"] != row["traceId"] or row["startTime"] > before["startTime"]:
            self.observations[row["id"]] = row
            return
        merged = {**before, **{name: value for name, value in row.items() if value not in (None, {}, [])}}
        merged["metadata"] = {**(before["metadata"] or {}), **(row["metadata"] or {})} or row["metadata"]
        merged["tags"] = list(dict.fromkeys([*before["tags"], *row["tags"]]))
        merged["startTime"] = before["startTime"]
        self.observations[row["id"]] = merged

    def _visible(self, store: dict[Any, dict[str, Any]]) -> list[dict[str, Any]]:
        with self.lock:
            now = time.monotonic()
            return [
                {name: value for name, value in row.items() if name != "visible_at"}
                for row in store.values()
                if row.get("visible_at", 0.0) <= now
            ]

    def settle(self) -> None:
        """Let everything accepted so far be read now."""
        with self.lock:
            for row in (*self.events.values(), *self.observations.values()):
                row["visible_at"] = 0.0

    # ── what tests ask ──────────────────────────────────────────────────────────────────────────────────────

    def rows(self) -> list[dict[str, Any]]:
        """Everything stored, visible or not yet, of the newer store that this mode has."""
        with self.lock:
            return list(self.observations.values()) if self.mode == "legacy" else list(self.events.values())

    def tokens(self) -> dict[str, int]:
        """Trace id → tokens, as every page and dashboard adds them up."""
        found: Counter[str] = Counter()
        for row in self.rows():
            found[row["traceId"]] += row["usageDetails"].get("total", 0)
        return +found

    def counts(self) -> dict[tuple[str, str], int]:
        """(trace id, span id) → rows that are counted for it; more than one is a double count."""
        return dict(Counter((row["traceId"], row["id"]) for row in self.rows()))

    def held(self) -> dict[str, Any]:
        """Rows and arrivals per span."""
        counts = self.counts()
        spans = {
            f"{trace}:{span}": {"rows": counts.get((trace, span), 0), "arrivals": arrivals}
            for (trace, span), arrivals in self.arrivals.items()
        }
        for (trace, span), rows in counts.items():
            spans.setdefault(f"{trace}:{span}", {"rows": rows, "arrivals": 0})
        return {"spans": spans, "scores": list(self.scores.rows.values())}

    def checks(self) -> list[str]:
        """Double rows, parents that never came, and traces whose spans disagree about the trace."""
        found = [
            f"{trace}:{span} is held {rows} times"
            for (trace, span), rows in self.counts().items()
            if rows > 1
        ]
        by_trace: dict[str, list[dict[str, Any]]] = {}
        for row in self.rows():
            by_trace.setdefault(row["traceId"], []).append(row)
        for trace_id, rows in by_trace.items():
            common = (
                "traceName",
                "userId",
                "sessionId",
                "environment",
                *(() if self.mode == "legacy" else ("tags",)),
            )
            found += [
                f"{trace_id}: spans disagree about {name}"
                for name in common
                if len({json.dumps(row[name]) for row in rows}) > 1
            ]
        return found + self.scores.checks()


def _v1_trace_list(rows: list[dict[str, Any]], query: dict[str, str]) -> Response:
    """Traces by their first start, newest first, a page at a time (at most 100), with the ids of their observations."""
    limit, page = int(query.get("limit", "50")), int(query.get("page", "1"))
    if not 1 <= limit <= 100:
        raise Refused(400, "limit must be between 1 and 100")
    traces: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        traces.setdefault(row["traceId"], []).append(row)
    began = {trace: min(row["startTime"] for row in members) for trace, members in traces.items()}
    chosen = [
        trace
        for trace in sorted(traces, key=lambda trace: (began[trace], trace), reverse=True)
        if query.get("fromTimestamp", "") <= began[trace] < query.get("toTimestamp", "~")
    ]
    has_spans = "observations" in query.get("fields", "observations").split(",")
    data = [
        {
            "id": trace,
            "timestamp": began[trace],
            "observations": [row["id"] for row in traces[trace]] * has_spans,
        }
        for trace in chosen[(page - 1) * limit : page * limit]
    ]
    meta = {"page": page, "limit": limit, "totalItems": len(chosen), "totalPages": -(-len(chosen) // limit)}
    return Response(200, {"data": data, "meta": meta})


def _matches(row: dict[str, Any], query: dict[str, str]) -> bool:
    if query.get("traceId", row["traceId"]) != row["traceId"]:
        return False
    return query.get("fromStartTime", "") <= row["startTime"] < query.get("toStartTime", "~")


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mode", choices=("legacy", "dual", "events_only"), default="events_only")
    parser.add_argument("--delay", type=float, default=0.0)


if __name__ == "__main__":
    serve(
        lambda given: LangfuseTwin(given.mode, delay=given.delay, port=given.port, state=given.state),
        _options,
    )
