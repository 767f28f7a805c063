"""Feedback at LangSmith, in a queue of its own beside the runs': what is refused or slow here holds no run back.

Feedback has our own ids: a second POST of one is a 409 and becomes a PATCH, so a resend and a correction leave one each. It
never extends a trace's retention, which LangSmith bills. A 404 says that the run is not there yet.
Source: the fields that the langsmith SDK sends (`create_feedback`, `update_feedback`; scores of four decimals, more are refused).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import orjson

from exporter.config import DestinationSettings
from exporter.destinations import platform, projects
from exporter.destinations.answers import classify
from exporter.destinations.base import Answer, Checked, Confirmation, Limits, Outcome, Unit
from exporter.destinations.http import JSON, Http, Reply
from exporter.destinations.langsmith import CLOUD
from exporter.errors import Misconfigured, Unreachable
from exporter.model import AssessedTrace
from exporter.spans import otlp
from exporter.spans.dify_traces import dify_trace_id
from exporter.spans.langsmith_runs import uuid7
from exporter.spans.scores import NAMES, VERDICT, Score, score_id, scores

_PATHS = ("/v1/traces", "/otel")
_SAID_OF_US = ("telemetry.distro.name", "dify_exporter.source.instance")
_TRACES_PER_SECOND = 10.0  # five requests each; feedback may be posted 5000 times a minute
_DECIMALS = 4
_ABSENT = "absent"  # ours, never sent
_PROJECT = "project"  # as well
_PAGE = 100
_RUNS_AT_ONCE = 20
_SEEN_AFTER = 5.0
_SET_ASIDE = 30.0
_WAITED_FOR = 6
_MOST_TRIES = 12

ACCEPTED = Answer(Outcome.ACCEPTED)


class LangSmithFeedback:
    """The feedback of one LangSmith project, or of one for each app, workspace or mode."""

    kind = "langsmith"
    corrects = True

    def __init__(self, settings: DestinationSettings, resource: Mapping[str, str]) -> None:
        self.name = settings.name
        self.limits = Limits(settings.max_spans, settings.max_bytes, 1, _TRACES_PER_SECOND)
        self.confirmation = platform.confirmation(settings, Confirmation.READ_BACK)
        self._api = platform.base_address(settings.endpoint or CLOUD, *_PATHS)
        self._http = Http(_headers(settings), settings.timeout)
        self._project = projects.project(settings.project, resource)
        self._project_ids: dict[str, str] = {}
        self._source = {name: resource[name] for name in _SAID_OF_US if name in resource}
        self._absent: dict[str, tuple[int, int]] = {}
        self._taken = 0

    def render(self, trace: AssessedTrace) -> list[bytes]:
        """The feedback's bodies without the project; the verdict's also names what the trace does not have."""
        root = trace.trace.steps[0]
        return self._of_run(trace, uuid7(root.started_at, trace.trace.trace_id, root.span_id))

    def enrich(self, trace: AssessedTrace) -> list[bytes]:
        """See Enriches: the same feedback for the root run that Dify's own tracing wrote."""
        run_id = dify_trace_id(trace.trace)
        return [] if run_id is None else self._of_run(trace, run_id)

    def _of_run(self, trace: AssessedTrace, run_id: str) -> list[bytes]:
        of, found = trace.trace, scores(trace)
        start = datetime.fromtimestamp(of.steps[0].started_at / 1e6, UTC).isoformat()
        project = {} if self._project.fixed is not None else {_PROJECT: self._project.of(of.app)}
        absent = [
            score_id(of.trace_id, name) for name in NAMES if name not in {score.name for score in found}
        ]
        return [
            orjson.dumps({
                "id": score.id,
                "run_id": run_id,
                "trace_id": run_id,
                "start_time": start,
                "key": score.name,
                **_given(score),
                "feedback_source": {"type": "api", "metadata": self._source},
                "extend_trace_retention": False,
                **({_ABSENT: absent} if absent and score.name == VERDICT else {}),
                **project,
            })
            for score in found
        ]  # fmt: skip

    def send(self, units: Sequence[Unit]) -> Answer:
        """One request for each score. What was taken before a failure is taken once more: that changes nothing."""
        for unit in units:
            found = self._find_project(self._project_of(unit))
            if isinstance(found, Answer):
                return found
            answer = self._not_there(unit) if found is None else self._put(unit, found)
            if answer.outcome is not Outcome.ACCEPTED:
                return answer
            self._absent.pop(unit.trace_id, None)
            self._taken += 1
        return ACCEPTED

    def missing(self, units: Sequence[Unit]) -> set[int] | None:
        """Units of which a feedback is not there, has another value, or is still there though it was taken away."""
        sent = {unit.seq: list(_bodies(unit)) for unit in units}
        runs = list(dict.fromkeys(str(body["run_id"]) for bodies in sent.values() for body in bodies))
        held: dict[str, Mapping[str, Any]] = {}
        for start in range(0, len(runs), _RUNS_AT_ONCE):
            found = self._held(runs[start : start + _RUNS_AT_ONCE])
            if found is None:
                return None
            held.update(found)
        return {
            unit.seq
            for unit in units
            if not all(_is_same(body, held.get(body["id"])) for body in sent[unit.seq])
            or any(feedback_id in held for feedback_id in _gone(unit))
        }

    def check(self) -> list[Checked]:
        """Nothing of its own: address and key are those of the runs, and feedback cannot be tried without a run."""
        return []

    def link(self, trace_id: str) -> str | None:
        """Always None: feedback is shown with its run."""
        return None

    def _put(self, unit: Unit, project_id: str) -> Answer:
        for feedback_id in _gone(unit):
            answer = _meaning(self._ask("DELETE", f"/feedback/{feedback_id}"), also_fine=404)
            if answer.outcome is not Outcome.ACCEPTED:
                return answer
        for body in _bodies(unit):
            shown = {name: value for name, value in body.items() if name not in (_ABSENT, _PROJECT)}
            answer = self._post({**shown, "session_id": project_id}, unit)
            if answer.outcome is not Outcome.ACCEPTED:
                return answer
        return ACCEPTED

    def _post(self, body: Mapping[str, Any], unit: Unit) -> Answer:
        reply = self._ask("POST", "/feedback", body)
        if isinstance(reply, Reply) and reply.status == 409:
            changed = {name: body.get(name) for name in ("score", "value", "comment")}
            return _meaning(self._ask("PATCH", f"/feedback/{body['id']}", changed))
        if isinstance(reply, Reply) and reply.status == 404:
            return self._not_there(unit)
        return _meaning(reply)

    def _not_there(self, unit: Unit) -> Answer:
        """The run is on its way, or waits behind its own queue, or will never come.

        First waited for, then set aside so that others pass. Given up only when LangSmith took those of other traces in the
        meantime: while it takes none, the runs' queue is what stands still.
        """
        tries, taken = self._absent.get(unit.trace_id, (0, self._taken))
        self._absent[unit.trace_id] = (tries + 1, taken)
        reason = "HTTP 404: the trace's run is not at LangSmith"
        if tries < _WAITED_FOR:
            return Answer(Outcome.RETRY, reason, _SEEN_AFTER)
        if tries >= _MOST_TRIES and self._taken > taken:
            return Answer(Outcome.REFUSED, reason)
        return Answer(Outcome.HOLD, reason, _SET_ASIDE)

    def _project_of(self, unit: Unit) -> str:
        return self._project.fixed or str(next(_bodies(unit), {}).get(_PROJECT, ""))

    def _find_project(self, name: str) -> str | Answer | None:
        """The project's id, None while it does not exist (its first run makes it), or why it cannot be asked for."""
        if name not in self._project_ids:
            query = urlencode({"name": name, "limit": "1"})
            reply = self._ask("GET", f"/sessions?{query}")
            if isinstance(reply, Answer):
                return reply
            rows = _list(reply)
            if rows is None:
                failed = classify(reply.status, reply.headers, reply.body)
                is_told = failed.outcome in (Outcome.RETRY, Outcome.HOLD)
                return (
                    failed if is_told else Answer(Outcome.RETRY, "the answer about the project is unreadable")
                )
            if rows:
                self._project_ids[name] = str(rows[0].get("id"))
        return self._project_ids.get(name)

    def _held(self, run_ids: Sequence[str]) -> dict[str, Mapping[str, Any]] | None:
        """Our feedback of these runs by id, None when LangSmith cannot be asked."""
        found: dict[str, Mapping[str, Any]] = {}
        query = [*(("run", run_id) for run_id in run_ids), *(("key", name) for name in NAMES)]
        offset = 0
        while True:
            page = urlencode([*query, ("limit", _PAGE), ("offset", offset)])
            reply = self._ask("GET", f"/feedback?{page}")
            rows = _list(reply) if isinstance(reply, Reply) else None
            if rows is None:
                return None
            found.update((str(row.get("id")), row) for row in rows)
            if len(rows) < _PAGE:
                return found
            offset += len(rows)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply | Answer:
        """The reply, or what a failure to get one means."""
        url, data = self._api + path, orjson.dumps(body)
        try:
            match method:
                case "POST":
                    return self._http.post(url, data, JSON)
                case "PATCH":
                    return self._http.patch(url, data)
                case "DELETE":
                    return self._http.delete(url)
                case _:
                    return self._http.get(url)
        except Unreachable as error:
            return Answer(Outcome.RETRY, str(error))
        except Misconfigured as error:
            return Answer(Outcome.HOLD, str(error))


def _given(score: Score) -> dict[str, Any]:
    """Score or value with the reason. LangSmith keeps four decimals, so money is spelled out beside its rounded score."""
    if isinstance(score.value, str):
        return {"value": score.value, "comment": score.comment}
    exact = {"value": score.exact} if score.exact is not None else {}
    return {"score": round(score.value, _DECIMALS), **exact, "comment": score.comment}


def _is_same(body: Mapping[str, Any], held: Mapping[str, Any] | None) -> bool:
    return held is not None and all(
        held.get(name) == body[name] for name in ("score", "value") if name in body
    )


def _gone(unit: Unit) -> list[str]:
    """The ids of what the trace does not have; only before a correction can it have had it."""
    if unit.revision <= 1:
        return []
    return [str(feedback_id) for body in _bodies(unit) for feedback_id in body.get(_ABSENT, ())]


def _bodies(unit: Unit) -> Iterator[dict[str, Any]]:
    return (orjson.loads(body) for body in otlp.split(unit.spans))


def _meaning(reply: Reply | Answer, also_fine: int | None = None) -> Answer:
    if isinstance(reply, Answer):
        return reply
    return ACCEPTED if reply.status == also_fine else classify(reply.status, reply.headers, reply.body)


def _list(reply: Reply) -> list[dict[str, Any]] | None:
    if reply.status != 200:
        return None
    try:
        answer = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return None
    return answer if isinstance(answer, list) else None


def _headers(settings: DestinationSettings) -> dict[str, str]:
    headers = {**platform.extra_headers(settings), "x-api-key": settings.api_key.get_secret_value()}
    return {**headers, "X-Tenant-Id": settings.workspace} if settings.workspace else headers
