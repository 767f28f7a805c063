"""What a Langfuse server does with traces that come through `/api/public/ingestion`, the door of Dify's own tracing (SDK 2.51).

Rules measured against Langfuse 4.16: `legacy` and `dual` store them in the v3 tables, where the same id merges (given fields
win, metadata unite, usage is replaced as a whole); the v4 store of `dual` shows them about ten minutes later; `events_only`
answers every such event with 400 inside of the 207. Ids are taken as they are, dashes and all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_OBSERVATIONS = {
    "span-create": "SPAN", "span-update": "SPAN", "event-create": "EVENT", "generation-create": "GENERATION",
    "generation-update": "GENERATION",
}  # fmt: skip
_EMPTY: dict[str, Any] = {
    "parentObservationId": None, "name": None, "endTime": None, "level": "DEFAULT", "statusMessage": None, "model": None,
    "modelParameters": None, "usageDetails": {}, "costDetails": {}, "guessed": False, "input": None, "output": None,
    "metadata": None, "completionStartTime": None, "environment": "default", "version": None, "traceName": None,
    "userId": None, "sessionId": None, "tags": [], "attributes": {},
}  # fmt: skip
_OLDEST = "0000"

Note = Callable[[str], None]


class Ingested:
    """Traces and observations of one project, each as it stands after all its events."""

    def __init__(self, note: Note) -> None:
        self.traces: dict[str, dict[str, Any]] = {}
        self.observations: dict[str, dict[str, Any]] = {}
        self._note = note

    def error(self, event: dict[str, Any], mode: str) -> str | None:
        """Why the event is refused, None when it is taken."""
        body = event.get("body") or {}
        if event.get("type") != "trace-create" and event.get("type") not in _OBSERVATIONS:
            return "unknown type of event"
        if mode == "events_only":
            return "Bad request: not available in events_only mode"
        if not event.get("id") or not event.get("timestamp") or not body.get("id"):
            return "an event needs an id, a timestamp, and the id of what it is about"
        return None

    def take(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Keep one event; the observation as it is now, None for a trace."""
        body, kind = event["body"], event["type"]
        if kind == "trace-create":
            self.traces[body["id"]] = _merged(self.traces.get(body["id"], {}), body)
            return None
        before = self.observations.get(body["id"], {})
        if before and before["traceId"] != body.get("traceId", before["traceId"]):
            self._note(f"observation {body['id']} is in two traces; the first one loses it")
        given = {name: value for name, value in body.items() if name != "usage"}
        usage = body.get("usageDetails") or _usage(body.get("usage"))
        if usage:
            given["usageDetails"] = usage
        if given.get("model") and not usage and not before.get("usageDetails"):
            self._note(f"{body.get('name')}: Langfuse counts the tokens of {given['model']} by itself")
        row = _merged({**_EMPTY, "type": _OBSERVATIONS[kind], "startTime": _OLDEST, **before}, given)
        self.observations[body["id"]] = row
        return row

    def shown(self, trace_id: str) -> dict[str, Any] | None:
        """The trace's own fields; None when neither it nor an observation of it is there."""
        if trace_id in self.traces:
            return self.traces[trace_id]
        return {} if any(row["traceId"] == trace_id for row in self.observations.values()) else None


def _merged(before: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in body.items() if value is not None}
    if "metadata" in given:
        given["metadata"] = {**(before.get("metadata") or {}), **given["metadata"]}
    return {**before, **given}


def _usage(given: dict[str, Any] | None) -> dict[str, int]:
    """SDK 2.51 names the counts `usage`, with a unit."""
    return {
        name: int((given or {})[name])
        for name in ("input", "output", "total")
        if (given or {}).get(name) is not None
    }
