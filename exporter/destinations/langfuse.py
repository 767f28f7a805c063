"""Langfuse: OTLP in, read-back out.

A 200 is a promise to try: processing is asynchronous, and a failing store behind it loses what was acknowledged. The
same ids and start time sent again replace what was there, so resends and late corrections are safe.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from exporter.config import ContentSettings, DestinationSettings
from exporter.destinations import platform
from exporter.destinations.answers import export
from exporter.destinations.base import Answer, Checked, Confirmation, Home, Limits, Unit
from exporter.destinations.http import Http, Reply, shown_address
from exporter.destinations.langfuse_holdings import LangfuseHoldings
from exporter.destinations.langfuse_readback import CannotAsk, ReadBack
from exporter.errors import Misconfigured, Unreachable
from exporter.model import AssessedTrace
from exporter.spans.content import content
from exporter.spans.langfuse import LangfuseProjector

CLOUD = "https://cloud.langfuse.com"
_BRIEFLY_SECONDS = 5.0
_PATHS = ("/v1/traces", "/api/public/otel", "/api/public")
_MODES = {
    "legacy": "it keeps traces as version 3 does, so later evidence changes a span in place, but what an earlier send said and"
    " this one leaves out stays",
    "dual": "it keeps traces for the old and the new views; ours are in both at once, those of Dify's own tracing in the new"
    " ones after about ten minutes",
    "events_only": "it keeps traces for the new views only, and refuses what Dify's own Langfuse tracing sends and shows nothing"
    " of it",
}
"""What follows for the operator from the server's LANGFUSE_MIGRATION_V4_WRITE_MODE (measured against 4.16)."""
_ENVIRONMENTS = ("langfuse.environment", "deployment.environment.name", "deployment.environment")


class Langfuse:
    """One Langfuse project."""

    kind = "langfuse"
    corrects = True

    def __init__(
        self, settings: DestinationSettings, content_settings: ContentSettings, resource: Mapping[str, str]
    ) -> None:
        self.name = settings.name
        self.limits: Limits = platform.limits(settings)
        self.confirmation = platform.confirmation(settings, Confirmation.READ_BACK)
        self._host = platform.base_address(settings.endpoint or CLOUD, *_PATHS)
        self._headers, self._timeout = _headers(settings), settings.timeout
        self._http = Http(self._headers, self._timeout)
        self._envelope = platform.envelope(resource)
        environment = next((resource[name] for name in _ENVIRONMENTS if resource.get(name)), None)
        self._projector = LangfuseProjector(content(content_settings), environment)
        self._read_back = ReadBack(self._http, self._host)
        self._project_id: str | None = None

    def render(self, trace: AssessedTrace) -> list[bytes]:
        """The trace's spans in the Langfuse dialect, root first."""
        return self._projector(trace)

    def send(self, units: Sequence[Unit]) -> Answer:
        """One request; its 200 body is the server's queue job and says nothing about single spans."""
        return export(self._http, f"{self._host}/api/public/otel/v1/traces", self._envelope.request(units))

    def missing(self, units: Sequence[Unit]) -> set[int] | None:
        """Units of which a span is not held, or not with its corrected numbers; None when Langfuse cannot be asked."""
        try:
            return self._read_back.missing(units)
        except CannotAsk:
            return None

    def holdings(self) -> LangfuseHoldings:
        """For the audit."""
        return LangfuseHoldings(self._http, self._host)

    def home(self) -> Home:
        """See Homes; over a connection of its own, and without much patience. Servers in mode events_only refuse the events
        that Dify's own tracing sends (measured against Langfuse 4.16)."""
        asking = ReadBack(Http(self._headers, min(self._timeout, _BRIEFLY_SECONDS)), self._host)
        try:
            projects = _object(asking.get("/projects")).get("data")
            mode = asking.mode()
        except CannotAsk:
            return Home()
        project = str(projects[0].get("id")) if isinstance(projects, list) and projects else None
        self._project_id = project or self._project_id
        return Home(project, takes_dify=mode != "events_only")

    def check(self) -> list[Checked]:
        """Version, project of the keys, kind of server, and whether the keys may send."""
        found = [self._check_address()]
        if not found[0].ok:
            return found
        found.append(self._check_keys())
        if not found[1].ok:
            return found
        return [*found, self._check_mode(), platform.checked_export(self.send(()))]

    def link(self, trace_id: str) -> str | None:
        """The trace's page; known once `check` or `home` has learned the project's id."""
        return f"{self._host}/project/{self._project_id}/traces/{trace_id}" if self._project_id else None

    def _check_address(self) -> Checked:
        hint = "set endpoint to the address of your Langfuse (LANGFUSE_HOST)"
        try:
            reply = self._http.get(f"{self._host}/api/public/health")
        except (Unreachable, Misconfigured) as error:
            return Checked("address", False, str(error), hint)
        version = _object(reply).get("version")
        if reply.status != 200 or not version:
            return Checked(
                "address", False, f"HTTP {reply.status}, and no Langfuse version in the answer", hint
            )
        return Checked("address", True, f"Langfuse {version} at {shown_address(self._host)}")

    def _check_keys(self) -> Checked:
        hint = "make a key pair in the project's settings and set public_key and secret_key"
        try:
            reply = self._http.get(f"{self._host}/api/public/projects")
        except (Unreachable, Misconfigured) as error:
            return Checked("keys", False, str(error), hint)
        projects = _object(reply).get("data")
        if reply.status != 200 or not isinstance(projects, list) or not projects:
            return Checked(
                "keys", False, f"HTTP {reply.status} when asking for the project of the keys", hint
            )
        self._project_id = str(projects[0].get("id"))
        return Checked("keys", True, f"project {projects[0].get('name')} ({self._project_id})")

    def _check_mode(self) -> Checked:
        try:
            mode = self._read_back.mode()
        except CannotAsk as error:
            return Checked(
                "read-back", False, str(error), "sent traces cannot be confirmed; allow the keys to read"
            )
        return Checked("read-back", True, f"write mode {mode}: {_MODES[mode]}")


def _headers(settings: DestinationSettings) -> dict[str, str]:
    pair = f"{settings.public_key.strip()}:{settings.secret_key.get_secret_value().strip()}"
    return {
        **platform.extra_headers(settings),
        "Authorization": "Basic " + base64.b64encode(pair.encode()).decode(),
        "x-langfuse-ingestion-version": "4",  # without it, servers in dual mode show a span ten minutes late
    }


def _object(reply: Reply) -> dict[str, Any]:
    try:
        answer = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}
