"""A twin of LangSmith's API for tests: OTLP in, runs out.

Kept rules: keys, project header or agent headers but not both; a request with one known run id is a 409 as a whole;
200 before anything is stored; a child without its parent waits and then expires; the first write of a run stays, and a
multipart patch replaces the fields that it names; runs query with cursors; projects are made by their first run; feedback
(`langsmith_feedback_rules`).
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from tests.contract import langsmith_rules as rules
from tests.contract.langsmith_feedback_rules import Feedback
from tests.contract.twin_server import Refused, Request, Response, Twin, serve, spans_of

API_KEY = "lsv2_twin_key"
WORKSPACE = "5b1c3f5e-0000-4000-8000-00000000abcd"


class LangSmithTwin(Twin):
    """Runs can be read after `delay` seconds; an orphan expires after `orphan_seconds`. With `organisation_key` the
    key is one of an organisation, which needs the workspace header. A page holds at most `page` runs."""

    def __init__(
        self,
        *,
        delay: float = 0.0,
        orphan_seconds: float = 43_200.0,
        organisation_key: bool = False,
        page: int = 100,
        port: int = 0,
        state: Path | None = None,
    ) -> None:
        self.delay, self.orphan_seconds, self.organisation_key = delay, orphan_seconds, organisation_key
        self.page = page
        self.runs: dict[str, dict[str, Any]] = {}
        self.waiting: dict[str, dict[str, Any]] = {}
        self.arrivals: Counter[str] = Counter()
        self.patches: Counter[str] = Counter()
        self.conflicts = 0
        self.feedback = Feedback(self.note)
        super().__init__(port=port, state=state)

    # ── requests ────────────────────────────────────────────────────────────────────────────────────────────

    def answer(self, request: Request) -> Response:
        """Route one request."""
        if request.path == "/info":
            return Response(
                200, {"version": "0.13.7", "batch_ingest_config": {"size_limit_bytes": 20_971_520}}
            )
        self._authorize(request)
        if request.path == "/otel/v1/traces" and request.method == "POST":
            return self._export(request)
        if request.path == "/runs/multipart" and request.method == "POST":
            hang_up = self.take_any(request, lambda: self._patch(request))
            return Response(202, {"message": "Runs batch ingested"}, hang_up=hang_up)
        if request.path.startswith("/feedback") and request.method != "GET":
            hang_up = self.take_any(request, lambda: self._take_feedback(request))
            return Response(200, {}, hang_up=hang_up)
        self.read()
        if request.path == "/sessions" and request.method == "GET":
            return self._sessions(request.query)
        if request.path == "/runs/query" and request.method == "POST":
            return self._query(json.loads(request.body))
        if request.path == "/feedback":
            with self.lock:
                return Response(200, self.feedback.page(request.pairs))
        raise Refused(404, "not found")

    def _authorize(self, request: Request) -> None:
        key = request.headers.get("x-api-key")
        if key is None:
            raise Refused(401, "Unauthorized")
        if key != API_KEY:
            raise Refused(403, "Forbidden")
        if self.organisation_key and request.headers.get("x-tenant-id") != WORKSPACE:
            raise Refused(403, "org_scoped_key_requires_workspace")

    def _export(self, request: Request) -> Response:
        project = request.headers.get("langsmith-project")
        if project is not None and request.headers.get("langsmith-agent-id") is not None:
            raise Refused(400, "project and agent headers exclude each other")
        hang_up = self.take(request, lambda export: self._store(export, project or "default"))
        return Response(200, {}, hang_up=hang_up)

    def _take_feedback(self, request: Request) -> None:
        feedback_id = request.path.removeprefix("/feedback").strip("/")
        match request.method:
            case "POST":
                runs = {run["id"] for run in self._visible()}
                sessions = {project_id(run["session_name"]) for run in self.runs.values()}
                self.feedback.post(request.body, runs, sessions, is_lost=self.is_lost())
            case "PATCH":
                self.feedback.patch(feedback_id, request.body)
            case "DELETE":
                self.feedback.delete(feedback_id)
            case _:
                raise Refused(405, "method not allowed")
        self.remember({"feedback": list(self.feedback.rows.values())})

    def _sessions(self, query: dict[str, str]) -> Response:
        with self.lock:
            names = sorted({run["session_name"] for run in self._visible()})
        found = [{"id": project_id(name), "name": name, "tenant_id": WORKSPACE} for name in names]
        if "name" in query:
            found = [project for project in found if project["name"] == query["name"]]
        return Response(200, found[: int(query.get("limit", "100"))])

    def _query(self, question: dict[str, Any]) -> Response:
        limit = question.get("limit", 100)
        if not 1 <= limit <= 100:
            raise Refused(422, "limit must be at most 100")
        limit = min(limit, self.page)
        if not any(question.get(name) for name in ("session", "id", "trace", "parent_run")):
            raise Refused(400, "at least one of session, id, parent_run, trace must be given")
        with self.lock:
            found = [run for run in self._visible() if _matches(run, question)]
        start = int(question.get("cursor") or 0)
        names = question.get("select") or ("id", "trace_id", "name", "run_type")
        page = [{name: run.get(name) for name in {"id", *names}} for run in found[start : start + limit]]
        following = str(start + limit) if start + limit < len(found) else None
        return Response(200, {"runs": page, "cursors": {"next": following}})

    # ── stores ──────────────────────────────────────────────────────────────────────────────────────────────

    def _store(self, export: Any, project: str) -> None:
        found = [rules.run(span, resource, self.note) for span, resource, _ in spans_of(export)]
        ids = [run["id"] for run in found]
        if len({run["trace_id"] for run in found}) > 1:
            self.note("a request holds several traces: one duplicate would refuse them all")
        if len(set(ids)) < len(ids) or any(run_id in self.runs or run_id in self.waiting for run_id in ids):
            self.conflicts += 1
            raise Refused(409, "run already exists")
        for run in found:
            self.arrivals[run["id"]] += 1
            if self.is_lost():
                continue
            now = time.monotonic()
            run["session_name"] = run["session_name"] or project
            self.waiting[run["id"]] = {
                **run,
                "visible_at": now + self.delay,
                "expires_at": now + self.orphan_seconds,
            }
        self._materialise()

    def _patch(self, request: Request) -> None:
        for run_id, fields in rules.patches(request.headers.get("content-type", ""), request.body).items():
            run = self.runs.get(run_id) or self.waiting.get(run_id)
            if run is None:
                self.note(f"a patch for run {run_id}, which is not there, is lost")
                continue
            if fields.get("trace_id") != run["trace_id"] or fields.get("dotted_order") != run["dotted_order"]:
                raise Refused(422, "trace_id and dotted_order of a patch must be those of its run")
            if fields.get("session_name") not in (None, run["session_name"]):
                self.note(f"a patch for run {run_id} names another project than the run's")
            run.update(rules.patched(fields))
            self.patches[run_id] += 1
            self.remember({"run": {**run, "visible_at": 0.0}})

    def _materialise(self) -> None:
        """Move what has its parent from the buffer into the store; what waited too long is gone."""
        moved = True
        while moved:
            moved = False
            for run_id, run in list(self.waiting.items()):
                if run["parent_run_id"] is None or run["parent_run_id"] in self.runs:
                    self.runs[run_id] = self.waiting.pop(run_id)
                    self.remember({"run": {**run, "visible_at": 0.0}})
                    moved = True
        for run_id, run in list(self.waiting.items()):
            if run["expires_at"] <= time.monotonic():
                del self.waiting[run_id]
                self.note(f"{run['name']}: expired, its parent never came")

    def recall(self, entry: dict[str, Any]) -> None:
        """Take back one run, or all feedback."""
        if "feedback" in entry:
            self.feedback.rows = {row["id"]: row for row in entry["feedback"]}
            return
        self.runs[entry["run"]["id"]] = entry["run"]

    def settle(self) -> None:
        """Let everything accepted so far be read now."""
        with self.lock:
            for run in (*self.runs.values(), *self.waiting.values()):
                run["visible_at"] = 0.0

    def _visible(self) -> list[dict[str, Any]]:
        self._materialise()
        now = time.monotonic()
        return [run for run in self.runs.values() if run["visible_at"] <= now]

    # ── what tests ask ──────────────────────────────────────────────────────────────────────────────────────

    def held(self) -> dict[str, Any]:
        """Runs by id with how often they arrived."""
        spans = {
            run_id: {"rows": int(run_id in self.runs), "arrivals": count}
            for run_id, count in self.arrivals.items()
        }
        for run_id in self.runs:
            spans.setdefault(run_id, {"rows": 1, "arrivals": 0})
        return {"spans": spans, "conflicts": self.conflicts, "feedback": list(self.feedback.rows.values())}

    def checks(self) -> list[str]:
        """Orphans, usage on runs whose children carry usage, and traces whose runs disagree about thread or user."""
        runs = list(self.runs.values())
        found = [f"{run['name']}: waits for a parent that did not come" for run in self.waiting.values()]
        above = {run["parent_run_id"] for run in runs if run["usage_metadata"]}
        found += [
            f"{run['name']}: usage on a run and on its child is counted twice"
            for run in runs
            if run["usage_metadata"] and run["id"] in above
        ]
        traces: dict[str, list[dict[str, Any]]] = {}
        for run in runs:
            traces.setdefault(run["trace_id"], []).append(run)
        for trace_id, members in traces.items():
            found += [
                f"{trace_id}: runs disagree about {name}"
                for name in ("thread_id", "user_id")
                if len({run["metadata"].get(name) for run in members}) > 1
            ]
        return found


def project_id(name: str) -> str:
    """The id of a project, as the twin makes it."""
    return str(uuid5(NAMESPACE_URL, f"twin:{name}"))


def _matches(run: dict[str, Any], question: dict[str, Any]) -> bool:
    return (
        (not question.get("session") or project_id(run["session_name"]) in question["session"])
        and (not question.get("id") or run["id"] in question["id"])
        and (not question.get("trace") or run["trace_id"] == question["trace"])
        and _is_in_window(run, question)
    )


def _is_in_window(run: dict[str, Any], question: dict[str, Any]) -> bool:
    """`is_root`, `start_time` (from then on) and one form of the filter language: lt(start_time, "…")."""
    if question.get("id"):
        return True  # ids ignore every other filter
    if question.get("is_root") and run["parent_run_id"] is not None:
        return False
    before = re.fullmatch(r'lt\(start_time, "([^"]+)"\)', question.get("filter") or "")
    if question.get("filter") and before is None:
        raise Refused(400, "invalid filter")
    began = datetime.fromtimestamp(run["start_time"] / 1e6, UTC)
    since = question.get("start_time")
    return (since is None or began >= datetime.fromisoformat(since)) and (
        before is None or began < datetime.fromisoformat(before[1])
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--orphan-seconds", type=float, default=43_200.0)


if __name__ == "__main__":
    serve(
        lambda given: LangSmithTwin(
            delay=given.delay, orphan_seconds=given.orphan_seconds, port=given.port, state=given.state
        ),
        _options,
    )
