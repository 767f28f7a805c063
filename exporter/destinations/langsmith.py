"""LangSmith: OTLP in with explicit run ids, runs query out.

One run id that is there already makes the whole request a 409, so a request holds one trace. A 200 is an entry in a
queue. The first write of a run stays: a later revision of a trace adds the runs that are new and patches the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from exporter.clock import rfc3339
from exporter.config import ContentSettings, DestinationSettings
from exporter.destinations import langsmith_patch as patch
from exporter.destinations import platform, projects
from exporter.destinations.answers import export, send
from exporter.destinations.base import Answer, Checked, Confirmation, Limits, Outcome, Unit
from exporter.destinations.http import Http, Reply, shown_address
from exporter.destinations.langsmith_holdings import LangSmithHoldings
from exporter.errors import Misconfigured, Unreachable
from exporter.model import AssessedTrace, Micros
from exporter.spans import otlp
from exporter.spans.content import content
from exporter.spans.langsmith import RUN_ID, LangSmithProjector
from exporter.spans.langsmith_runs import uuid7

CLOUD = "https://api.smith.langchain.com"
_PATHS = ("/v1/traces", "/otel")
_REQUESTS_PER_SECOND = 25.0  # the strictest documented class is 2000 a minute
_SEEN_AFTER = 5.0
_BRIEFLY_SECONDS = 5.0
_ASKED_AT_ONCE = 100  # the most that /runs/query returns on one page


class LangSmith:
    """One LangSmith project, or one for each app, workspace or mode."""

    kind = "langsmith"
    corrects = True

    def __init__(
        self, settings: DestinationSettings, content_settings: ContentSettings, resource: Mapping[str, str]
    ) -> None:
        self.name = settings.name
        self.limits: Limits = platform.limits(settings, 1, _REQUESTS_PER_SECOND, needs_parents=True)
        self.confirmation = platform.confirmation(settings, Confirmation.READ_BACK)
        self._api = platform.base_address(settings.endpoint or CLOUD, *_PATHS)
        self._project = project = projects.project(settings.project, resource)
        by_header = project.fixed if project.fixed is not None and project.fixed.isascii() else None
        self._headers = _headers(settings, by_header)
        self._http = Http(self._headers, settings.timeout)
        self._envelope = platform.envelope(resource)
        self._resource = dict(resource)
        self._projector = LangSmithProjector(
            content(content_settings), project.of if by_header is None else None
        )
        self._project_id: str | None = None
        self._page: str | None = None

    def render(self, trace: AssessedTrace) -> list[bytes]:
        """The trace's spans in the LangSmith dialect, root first."""
        return self._projector(trace)

    def send(self, units: Sequence[Unit]) -> Answer:
        """One request; DUPLICATE when LangSmith holds one of its runs already. A later revision corrects the runs that are
        there and adds the others."""
        if any(unit.revision > 1 for unit in units):
            return self._correct(units)
        return self._post(units)

    def _post(self, units: Sequence[Unit]) -> Answer:
        return export(
            self._http, f"{self._api}/otel/v1/traces", self._envelope.request(units), duplicate_status=409
        )

    def _correct(self, units: Sequence[Unit]) -> Answer:
        """New runs first, because a patch may come twice and a run may not; a run that is on its way and cannot be seen
        yet makes LangSmith refuse, and everything is tried again later."""
        try:
            held = self._held_of(units)
        except _CannotAsk as error:
            return Answer(Outcome.RETRY, str(error))
        new = [replace(unit, spans=otlp.frame(spans)) for unit in units if (spans := _without(unit, held))]
        if new:
            answer = self._post(new)
            if answer.outcome is Outcome.DUPLICATE:
                return Answer(Outcome.RETRY, "runs of the earlier revision cannot be seen yet", _SEEN_AFTER)
            if answer.outcome is not Outcome.ACCEPTED:
                return answer
        known = [span for unit in units for span in otlp.split(unit.spans) if _run_id(span) in held]
        if not known:
            return Answer(Outcome.ACCEPTED)
        body = patch.body(known, self._resource, names_project=self._project.fixed is not None)
        return send(self._http, f"{self._api}/runs/multipart", body, patch.CONTENT_TYPE)

    def _held_of(self, units: Sequence[Unit]) -> set[str]:
        """The runs of these units that are there. Where apps have projects of their own, runs are asked for in all of
        them, because an app that was renamed has runs in two."""
        run_ids = [run_id for unit in units for run_id in _run_ids(unit)]
        if self._project.fixed is None:
            return self._held({}, run_ids)
        project_id = self._find_project(self._project.fixed)
        return set() if project_id is None else self._held({"session": [project_id]}, run_ids)

    def missing(self, units: Sequence[Unit]) -> set[int] | None:
        """Units of which a run is not there; None when LangSmith cannot be asked."""
        try:
            held = self._held_of(units)
        except _CannotAsk:
            return None
        return {unit.seq for unit in units if not held.issuperset(_run_ids(unit))}

    def holdings(self) -> LangSmithHoldings:
        """For the audit."""
        return LangSmithHoldings(self._http, self._api, self._project)

    def check(self) -> list[Checked]:
        """Version of the server, then whether the key may see the project."""
        hint = "set endpoint to the API address of your LangSmith (LANGSMITH_ENDPOINT)"
        try:
            info = self._answer(self._http.get(f"{self._api}/info"))
        except (Unreachable, Misconfigured, _CannotAsk) as error:
            return [Checked("address", False, str(error), hint)]
        version = info.get("version") if isinstance(info, dict) else None
        if not version:
            return [Checked("address", False, "no LangSmith version in the answer", hint)]
        return [
            Checked("address", True, f"LangSmith {version} at {shown_address(self._api)}"),
            self._check_key(),
        ]

    def link(self, trace_id: str) -> str | None:
        """None: a run's page needs more than the trace id, see `run_page`."""
        return None

    def learn_pages(self) -> None:
        """See RunPages: project and workspace of a single project, as LangSmith's own SDK makes the address of a run; over a
        connection of its own."""
        if self._project.fixed is None:
            return
        try:
            reply = Http(self._headers, _BRIEFLY_SECONDS).get(
                f"{self._api}/sessions", {"name": self._project.fixed, "limit": "1"}
            )
            found = self._answer(reply)
        except (_CannotAsk, Unreachable, Misconfigured):
            return
        if isinstance(found, list) and found and {"id", "tenant_id"} <= found[0].keys():
            self._page = f"{pages_of(self._api)}/o/{found[0]['tenant_id']}/projects/p/{found[0]['id']}"

    def run_page(self, trace_id: str, root_span_id: str, started_at: Micros) -> str | None:
        """See RunPages."""
        run = uuid7(started_at, trace_id, root_span_id)
        return f"{self._page}/r/{run}?trace_id={run}&start_time={rfc3339(started_at)}" if self._page else None

    def _check_key(self) -> Checked:
        name = self._project.fixed
        try:
            found = self._ask("GET", "/sessions", {**({"name": name} if name else {}), "limit": "1"})
        except _CannotAsk as error:
            hint = "set api_key to a key of the workspace; a key of an organisation needs workspace as well"
            return Checked("key", False, str(error), hint)
        if name is None:
            return Checked("key", True, f"projects {self._project.template}")
        return Checked(
            "key", True, f"project {name}" + ("" if found else " (will be made by the first trace)")
        )

    def _find_project(self, name: str) -> str | None:
        """The project's id, None while the project does not exist; it is made by the first trace."""
        if self._project_id is None:
            found = self._ask("GET", "/sessions", {"name": name, "limit": "1"})
            if isinstance(found, list) and found:
                self._project_id = str(found[0]["id"])
        return self._project_id

    def _held(self, where: Mapping[str, Any], run_ids: Sequence[str]) -> set[str]:
        held: set[str] = set()
        for start in range(0, len(run_ids), _ASKED_AT_ONCE):
            asked = list(run_ids[start : start + _ASKED_AT_ONCE])
            question: dict[str, Any] = {
                **where,
                "id": asked,
                "select": ["id"],
                "limit": _ASKED_AT_ONCE,
            }
            for run in self._pages(question):
                held.add(str(run.get("id")))
        return held

    def _pages(self, question: dict[str, Any]) -> Iterator[dict[str, Any]]:
        while True:
            answer = self._ask("POST", "/runs/query", question)
            if not isinstance(answer, dict):
                raise _CannotAsk("the answer to a read is not a JSON object")
            yield from answer.get("runs") or ()
            cursor = (answer.get("cursors") or {}).get("next")
            if not cursor:
                return
            question = {**question, "cursor": cursor}

    def _ask(self, method: str, path: str, what: Mapping[str, Any]) -> Any:
        try:
            reply = (
                self._http.get(self._api + path, what)
                if method == "GET"
                else self._http.query(self._api + path, orjson.dumps(what))
            )
        except (Unreachable, Misconfigured) as error:
            raise _CannotAsk(str(error)) from error
        return self._answer(reply)

    def _answer(self, reply: Reply) -> Any:
        if reply.status != 200:
            raise _CannotAsk(f"HTTP {reply.status} when reading")
        try:
            return orjson.loads(reply.body)
        except orjson.JSONDecodeError as error:
            raise _CannotAsk("the answer to a read is not JSON") from error


def pages_of(api: str) -> str:
    """Where the pages of an API address are: its host without `api.`, or a server of one's own without `/api`."""
    for ending in ("/api/v1", "/api"):
        if api.endswith(ending):
            return api.removesuffix(ending)
    return api.replace("://api.", "://", 1).replace(".api.smith.", ".smith.", 1)


class _CannotAsk(Exception):
    """LangSmith does not answer the question now."""


def _headers(settings: DestinationSettings, project: str | None) -> dict[str, str]:
    headers = {**platform.extra_headers(settings), "x-api-key": settings.api_key.get_secret_value()}
    if project is not None:
        headers["Langsmith-Project"] = project
    if settings.workspace:
        headers["X-Tenant-Id"] = settings.workspace
    return headers


def _run_ids(unit: Unit) -> list[str]:
    return [_run_id(span) for span in otlp.split(unit.spans)]


def _run_id(span: bytes) -> str:
    return otlp.text_attributes(otlp.parse(span), (RUN_ID,))[RUN_ID]


def _without(unit: Unit, held: set[str]) -> list[bytes]:
    return [span for span in otlp.split(unit.spans) if _run_id(span) not in held]
