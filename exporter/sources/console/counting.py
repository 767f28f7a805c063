"""How many records a list has in a stretch of time, for the progress of a back-fill: as Dify counts them, without reading them.

Messages are counted by Dify's statistics, which leave out those made in the editor; runs in chatflows and debug runs, and entries of completion apps, by their list.
"""

from __future__ import annotations

from typing import Any

from exporter.model import SECOND
from exporter.sources.console import versions
from exporter.sources.console.run_lists import iso, trigger_page
from exporter.sources.console.streams import Stream
from exporter.sources.console.talks import completion_page
from exporter.sources.console.zones import start_text


def count(stream: Stream, since: int, until: int) -> int:
    """Records in [since, until), times in seconds. Raises as `Session.get`."""
    counted = {"logs": _logged, "talks": _messages, "completions": _opened}.get(stream.what, _walked)
    return counted(stream, since, until)


def _logged(stream: Stream, since: int, until: int) -> int:
    session = stream.opened.workspace.session
    query: dict[str, str | int] = {"page": 1, "limit": 1}
    if versions.has(session.asker.version, versions.LOG_TIMES):
        query |= {"created_at__after": iso(since), "created_at__before": iso(until)}
    return _whole(session.get(f"/apps/{stream.app.id}/workflow-app-logs", query), "total")


def _messages(stream: Stream, since: int, until: int) -> int:
    workspace = stream.opened.workspace
    now = int(workspace.session.asker.now()) + 60
    query = {"start": start_text(workspace.zone, since), "end": start_text(workspace.zone, min(until, now))}
    answer = workspace.session.get(f"/apps/{stream.app.id}/statistics/daily-messages", query)
    days = answer.get("data") if isinstance(answer, dict) else None
    return sum(_whole(day, "message_count") for day in days or ())


def _opened(stream: Stream, since: int, until: int) -> int:
    """Only entries that somebody opened can be read, and the statistics count all."""
    workspace, at, found = stream.opened.workspace, None, set[str]()
    while True:
        page = completion_page(workspace.session, stream.app.id, workspace.zone, at, since)
        found |= {
            item.id
            for item in page.conversations
            if item.read_at is not None and since <= item.created_at < until
        }
        at = page.at
        if at is None:
            return len(found)


def _walked(stream: Stream, since: int, until: int) -> int:
    session, at, found = stream.opened.workspace.session, None, set[str]()
    trigger = "debugging" if stream.what == "debug" else "app-run"
    while True:
        is_chat, now = stream.app.mode == "advanced-chat", int(session.asker.now())
        page = trigger_page(session, stream.app.id, is_chat, trigger, at, since, now)
        found |= {met.ref.id for met in page.met if since * SECOND <= met.ref.created_at < until * SECOND}
        at = page.at
        if at is None:
            return len(found)


def _whole(given: Any, name: str) -> int:
    value = given.get(name) if isinstance(given, dict) else None
    return int(value) if isinstance(value, int) else 0
