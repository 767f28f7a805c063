"""Lists of workflow runs: the log of a workflow app, and the lists by trigger of workflows and chatflows.

The log (`workflow-app-logs`) is the only list that names runs of webhooks, schedules and plugins. Both are newest first. Where a page
ends inside a second, the next one begins above that second: the filters compare strictly, and what ties would be lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from exporter.model import SECOND, RecordKind, RecordRef
from exporter.sources.console import versions
from exporter.sources.console.places import Place
from exporter.sources.console.session import Session
from exporter.sources.console.shapes import creator_of
from exporter.sources.console.walk import Met, Page
from exporter.sources.http.asking import listed

PAGE = 100

LOGGED_SECONDS = 2
"""How much later than its run a log entry may seem: its time is that of its writing, rounded."""

LONELY_AFTER_SECONDS = 30
"""A chatflow's run whose message is not named this long after its start has none (its conversation was deleted)."""

Entry = Mapping[str, Any]


def log_page(session: Session, app_id: str, at: str | None, floor: int) -> Page:
    """A page of a workflow app's log. The position is `<before>:<page>`, before = 0 where Dify cannot filter by time."""
    before, number = _log_position(at)
    can_filter = versions.has(session.asker.version, versions.LOG_TIMES)
    times = {"created_at__after": iso(floor)} | ({"created_at__before": iso(before)} if before else {})
    answer = session.get(
        f"/apps/{app_id}/workflow-app-logs",
        {"page": number, "limit": PAGE, **(times if can_filter else {})},
    )
    entries = entries_of(answer)
    oldest = min((_time(entry) for entry in entries), default=None)
    is_over = oldest is None or not answer.get("has_more") or oldest < floor
    met = tuple(found for entry in entries if (found := _of_log(app_id, entry)) is not None)
    if is_over or oldest is None:
        return Page(met, _newest(entries), None)
    if can_filter and oldest + 1 != before:
        return Page(met, _newest(entries), f"{oldest + 1}:1")
    return Page(met, _newest(entries), f"{before}:{number + 1}")


def trigger_page(
    session: Session, app_id: str, is_chat: bool, trigger: str, at: str | None, floor: int, now: int
) -> Page:
    """A page of the runs with one trigger (`debugging` or `app-run`). The position is the `last_id`."""
    query: dict[str, str | int] = {"limit": PAGE}
    if versions.has(session.asker.version, versions.RUNS_BY_TRIGGER):
        query["triggered_from"] = trigger
    if at:
        query["last_id"] = at
    path = f"/apps/{app_id}/{'advanced-chat/' if is_chat else ''}workflow-runs"
    answer = session.get(path, query)
    entries = entries_of(answer)
    met = tuple(
        found for entry in entries if (found := _of_run(app_id, entry, is_chat, trigger, now)) is not None
    )
    is_over = not entries or not answer.get("has_more") or _time(entries[-1]) < floor
    return Page(met, _newest(entries), None if is_over else above_last_second(entries, at, newest_first=True))


def above_last_second(entries: Sequence[Entry], at: str | None, *, newest_first: bool) -> str:
    """The id to go on from: of the last entry above the second in which the page ends, so that second comes again whole."""
    ordered = list(entries) if newest_first else list(reversed(entries))
    last = _time(ordered[-1])
    above = [str(entry["id"]) for entry in ordered if _time(entry) > last]
    return above[-1] if above and above[-1] != at else str(ordered[-1]["id"])


def entries_of(answer: Any) -> list[Entry]:
    """The usable entries of a list's answer. Raises `Denied` for an answer that is no list."""
    return [
        entry
        for entry in listed(answer)
        if isinstance(entry, dict)
        and isinstance(entry.get("id"), str)
        and isinstance(entry.get("created_at"), int)
    ]


def _of_log(app_id: str, entry: Entry) -> Met | None:
    run = entry.get("workflow_run")
    if not isinstance(run, dict) or not isinstance(run.get("id"), str):
        return None
    created_at = run.get("created_at") if isinstance(run.get("created_at"), int) else _time(entry)
    ref = RecordRef(RecordKind.RUN, run["id"], int(created_at or 0) * SECOND)
    return Met(ref, Place(app_id, run.get("triggered_from")), created_by=creator_of(entry))


def _of_run(app_id: str, entry: Entry, is_chat: bool, trigger: str, now: int) -> Met | None:
    """A chatflow's run is part of its message, and the record is then the message."""
    message_id = entry.get("message_id")
    if is_chat and isinstance(message_id, str):
        ref = RecordRef(RecordKind.MESSAGE, message_id, _time(entry) * SECOND)
        return Met(ref, Place(app_id, trigger, message_id), str(entry["id"]))
    if is_chat and _time(entry) > now - LONELY_AFTER_SECONDS:
        return None
    run_id = str(entry["id"])
    ref = RecordRef(RecordKind.RUN, run_id, _time(entry) * SECOND)
    return Met(ref, Place(app_id, trigger), run_id, creator_of(entry))


def _log_position(at: str | None) -> tuple[int, int]:
    before, _, number = (at or "0:1").partition(":")
    return int(before), int(number)


def _time(entry: Entry) -> int:
    return int(entry["created_at"])


def _newest(entries: Sequence[Entry]) -> int | None:
    return max((_time(entry) for entry in entries), default=None)


def iso(seconds: int) -> str:
    """UTC with a Z: the MySQL driver would drop another offset."""
    return datetime.fromtimestamp(max(0, seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
