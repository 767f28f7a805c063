"""Scores at Langfuse, in a queue of their own beside the spans': what is refused or slow here holds no span back. What is added to
traces that Dify's own tracing wrote comes through the same door, and so goes by the same queue.

The ingestion API takes batches with timestamps on every known server. Its answer is 207 with a receipt for each event. Of
two events of a score the one with the later timestamp wins, whatever arrives last (measured against Langfuse 4.16), so the
timestamp is the trace's start plus the revision in milliseconds.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from exporter.config import DestinationSettings
from exporter.destinations import platform
from exporter.destinations.answers import classify
from exporter.destinations.base import Answer, Checked, Confirmation, Limits, Outcome, Unit
from exporter.destinations.http import JSON, Http, Reply
from exporter.destinations.langfuse import CLOUD
from exporter.destinations.langfuse_score_configs import make_missing
from exporter.destinations.langfuse_score_doors import ScoreDoors
from exporter.errors import Misconfigured, Unreachable
from exporter.model import AssessedTrace, Micros
from exporter.spans import otlp
from exporter.spans.dify_traces import dify_trace_id
from exporter.spans.langfuse import environment_name
from exporter.spans.langfuse_additions import OBSERVATION, additions
from exporter.spans.scores import NAMES, VERDICT, score_id, scores

_PATHS = ("/v1/traces", "/api/public/otel", "/api/public")
_ENVIRONMENTS = ("langfuse.environment", "deployment.environment.name", "deployment.environment")
_SCORES_PER_REQUEST = 50
_REQUESTS_PER_SECOND = 1.0  # a small server stores about 50 scores a second, each is a job of its queue
_MOST_BYTES = 3 * 2**20  # a batch over 4.5 MB is refused
_ASKED_AT_ONCE = 50
_ABSENT = "absent"  # ours, never sent
_EVENT = "event"  # as well: what kind of event it is, where it is no score
_DAY_MS = 86_400_000
_ROOM_MS = 60_000


class LangfuseScores:
    """The scores of one Langfuse project."""

    kind = "langfuse"
    corrects = True

    def __init__(self, settings: DestinationSettings, resource: Mapping[str, str]) -> None:
        self.name = settings.name
        self.limits = Limits(
            min(settings.max_spans, _SCORES_PER_REQUEST),
            min(settings.max_bytes, _MOST_BYTES),
            traces_per_request=0,
            requests_per_second=_REQUESTS_PER_SECOND,
        )
        self.confirmation = platform.confirmation(settings, Confirmation.READ_BACK)
        self._api = platform.base_address(settings.endpoint or CLOUD, *_PATHS) + "/api/public"
        self._http = Http(_headers(settings), settings.timeout)
        named = next((resource[name] for name in _ENVIRONMENTS if resource.get(name)), None)
        self._environment = environment_name(named) if named else None
        self._doors = ScoreDoors(lambda path, body: self._ask("POST", path, body))
        self._has_v3 = True
        self._is_described = False

    def render(self, trace: AssessedTrace) -> list[bytes]:
        """The bodies of the score events; the verdict's also names the scores that the trace does not have."""
        of = trace.trace
        return _score_bodies(
            trace, of.trace_id, self._environment or ("debug" if of.is_debug else "production")
        )

    def enrich(self, trace: AssessedTrace) -> list[bytes]:
        """See Enriches: metadata and readings for Dify's own trace, and the scores, in the environment that Dify's SDK gives
        its traces."""
        trace_id = dify_trace_id(trace.trace)
        if trace_id is None:
            return []
        added = [orjson.dumps({_EVENT: kind, **body}) for kind, body in additions(trace)]
        return [*added, *_score_bodies(trace, trace_id, "default")]

    def send(self, units: Sequence[Unit]) -> Answer:
        """Scores that a correction took away are deleted, then one batch with the others."""
        for score in (score for unit in units for score in _gone(unit)):
            answer = self._ask("DELETE", f"/scores/{score}")
            if isinstance(answer, Reply):
                answer = _deleted(answer)
            if answer.outcome is not Outcome.ACCEPTED:
                return answer
        events = [event for unit in units for event in _events(unit)]
        if not events:
            return Answer(Outcome.ACCEPTED)
        answer = self._doors.send(
            events, [_iso(moment_ms(unit.started_at, 1)) for unit in units for _ in _bodies(unit)]
        )
        if answer.outcome is Outcome.ACCEPTED and not self._is_described:
            self._is_described = True
            make_missing(self._http, self._api)
        return answer

    def missing(self, units: Sequence[Unit]) -> set[int] | None:
        """Units of which a score is not there, has another value, or is still there though it was taken away."""
        wanted = {
            unit.seq: {body["id"]: body["value"] for body in _bodies(unit, scores_only=True)}
            for unit in units
        }
        gone = {unit.seq: _gone(unit) for unit in units}
        ids = [one for of in (*wanted.values(), *gone.values()) for one in of]
        held: dict[str, Any] = {}
        for start in range(0, len(ids), _ASKED_AT_ONCE):
            found = self._held(ids[start : start + _ASKED_AT_ONCE])
            if found is None:
                return None
            held.update(found)
        lost = {
            unit.seq
            for unit in units
            if not all(_is_same(held.get(one), value) for one, value in wanted[unit.seq].items())
            or any(one in held for one in gone[unit.seq])
        }
        for unit in units:
            is_complete = self._has_additions(unit)
            if is_complete is None:
                return None
            if not is_complete:
                lost.add(unit.seq)
        return lost

    def check(self) -> list[Checked]:
        """Nothing of its own: address and keys are those of the spans, and a score cannot be tried without a trace."""
        return []

    def link(self, trace_id: str) -> str | None:
        """Always None: scores are shown with their trace, which the spans' destination links to."""
        return None

    def _has_additions(self, unit: Unit) -> bool | None:
        """Whether Dify's trace has our observations; None when Langfuse cannot be asked. Such traces are only in stores that
        can be read trace by trace."""
        wanted = {(body["traceId"], body["id"]) for body in _bodies(unit) if body.get(_EVENT) == OBSERVATION}
        there: set[tuple[str, str]] = set()
        for trace_id in {trace_id for trace_id, _ in wanted}:
            reply = self._ask("GET", f"/traces/{trace_id}")
            if isinstance(reply, Answer) or reply.status not in (200, 404):
                return None
            there.update((trace_id, str(row.get("id"))) for row in _object(reply).get("observations") or ())
        return wanted <= there

    def _held(self, ids: Sequence[str]) -> dict[str, Any] | None:
        """Values by score id. Servers before 3.179 know only the older address."""
        joined, limit = ",".join(ids), str(len(ids) * 2)  # a score that moved to another day is there twice
        if self._has_v3:
            reply = self._ask("GET", "/v3/scores", params={"id": joined, "limit": limit})
            if isinstance(reply, Reply) and reply.status == 404:
                self._has_v3 = False
                return self._held(ids)
        else:
            reply = self._ask("GET", "/v2/scores", params={"scoreIds": joined, "limit": limit})
            if isinstance(reply, Reply) and reply.status == 404:
                self._has_v3 = True
        rows = _object(reply).get("data") if isinstance(reply, Reply) and reply.status == 200 else None
        if not isinstance(rows, list):
            return None
        return {str(row.get("id")): row.get("stringValue") or row.get("value") for row in rows}

    def _ask(
        self, method: str, path: str, body: bytes | None = None, params: Mapping[str, str] | None = None
    ) -> Reply | Answer:
        """The reply, or what a failure to get one means."""
        try:
            match method:
                case "POST":
                    return self._http.post(self._api + path, body or b"", JSON)
                case "DELETE":
                    return self._http.delete(self._api + path)
                case _:
                    return self._http.get(self._api + path, params)
        except Unreachable as error:
            return Answer(Outcome.RETRY, str(error))
        except Misconfigured as error:
            return Answer(Outcome.HOLD, str(error))


def moment_ms(started_at: Micros, revision: int) -> int:
    """Milliseconds of the event of this revision: never on another UTC day than the first one's, because Langfuse keeps a
    score by id, name and day."""
    started = started_at // 1000
    last = (started // _DAY_MS + 1) * _DAY_MS - _ROOM_MS
    return min(started, last) + min(revision, _ROOM_MS - 1)


def _score_bodies(trace: AssessedTrace, trace_id: str, environment: str) -> list[bytes]:
    """The scores as they are stored for sending, for the trace of this id at Langfuse."""
    own_id, found = trace.trace.trace_id, scores(trace)
    absent = [score_id(own_id, name) for name in NAMES if name not in {score.name for score in found}]
    return [
        orjson.dumps({
            "id": score.id,
            "traceId": trace_id,
            "name": score.name,
            "value": score.value,
            "dataType": str(score.type),
            "comment": score.comment,
            "environment": environment,
            **({_ABSENT: absent} if absent and score.name == VERDICT else {}),
        })
        for score in found
    ]  # fmt: skip


def _bodies(unit: Unit, *, scores_only: bool = False) -> Iterator[dict[str, Any]]:
    for serialised in otlp.split(unit.spans):
        body = orjson.loads(serialised)
        if not (scores_only and _EVENT in body):
            yield body


def _events(unit: Unit) -> Iterator[dict[str, Any]]:
    moment = moment_ms(unit.started_at, unit.revision)
    for body in _bodies(unit):
        shown = {name: value for name, value in body.items() if name not in (_ABSENT, _EVENT)}
        yield {
            "id": f"{body['id']}-{unit.revision}",
            "type": body.get(_EVENT, "score-create"),
            "timestamp": _iso(moment),
            "body": shown,
        }


def _iso(moment_ms: int) -> str:
    return f"{datetime.fromtimestamp(moment_ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{moment_ms % 1000:03}Z"


def _gone(unit: Unit) -> list[str]:
    """The ids of scores that the trace does not have; only before a correction can it have had them."""
    if unit.revision <= 1:
        return []
    return [str(score) for body in _bodies(unit) for score in body.get(_ABSENT, ())]


def _deleted(reply: Reply) -> Answer:
    if reply.status == 404:
        return Answer(Outcome.ACCEPTED)
    return classify(reply.status, reply.headers, reply.body)


def _is_same(held: Any, sent: float | str) -> bool:
    if isinstance(sent, str) or isinstance(held, str) or held is None:
        return bool(held == sent)
    return math.isclose(held, sent, rel_tol=1e-9, abs_tol=1e-12)


def _headers(settings: DestinationSettings) -> dict[str, str]:
    pair = f"{settings.public_key.strip()}:{settings.secret_key.get_secret_value().strip()}"
    return {
        **platform.extra_headers(settings),
        "Authorization": "Basic " + base64.b64encode(pair.encode()).decode(),
    }


def _object(reply: Reply) -> dict[str, Any]:
    try:
        answer = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}
