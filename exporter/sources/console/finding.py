"""Which app a record belongs to: remembered from the list that named it, else looked for in every app that may hold it.

The second way is for records that were met before a restart or by another source. The app that held the last one is asked first,
and what it answers is what is read, so a backlog of few apps costs next to nothing more. A run of a foreign app is answered
with 200 and nothing but nulls, a foreign message with 404 (measured: Dify 1.12.1).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from exporter.model import SECOND, App, RecordKind, RecordRef
from exporter.sources.console import versions
from exporter.sources.console.opened import Opened, refusal
from exporter.sources.console.places import Place, key
from exporter.sources.console.run_lists import LOGGED_SECONDS, log_page, trigger_page
from exporter.sources.console.shapes import ENDED, is_written
from exporter.sources.http.asking import Denied, record

_MODES = {
    RecordKind.RUN: ("workflow", "advanced-chat"),
    RecordKind.MESSAGE: ("advanced-chat", "chat", "agent-chat", "completion"),
}
_MOST_PAGES = 50
_TRIGGERS = ("app-run", "debugging")


class NotHere(Exception):
    """No app that the accounts see holds the record; it may belong to another workspace."""


@dataclass(frozen=True, slots=True)
class Located:
    """Where a record is. `is_named`: a list named it, so its place is all there is to know."""

    opened: Opened
    app: App
    place: Place
    is_named: bool

    def address(self, what: str) -> str:
        """The path of something in the app."""
        return f"/apps/{self.app.id}/{what}"

    def get(self, what: str) -> Any:
        """Ask for it. Raises as `Session.get`."""
        return self.opened.workspace.session.get(self.address(what))


def locate(workspaces: Sequence[Opened], ref: RecordRef) -> Located:
    """Find the record's app. Raises `NotHere`, and as `Session.get`; `Denied` with 404 when its app is gone."""
    for opened in workspaces:
        place = opened.memory.places.get(key(ref))
        if place is not None:
            if opened.refused is not None:
                raise refusal(opened.refused)
            app = opened.workspace.apps.get(place.app_id)
            if app is None:
                raise Denied("its app is gone", 404, "app_not_found")
            return Located(opened, app, place, True)
    for opened, app in _candidates([item for item in workspaces if not item.refused], ref):
        where = Located(opened, app, Place(app.id), False)
        if _holds(where, ref):
            opened.memory.held_at[app.id] = time.monotonic()
            return _with_trigger(where, ref)
    locked_out = next((item.refused for item in workspaces if item.refused), None)
    if locked_out is not None:
        raise refusal(locked_out)
    raise NotHere("no app that these accounts see holds it; another workspace's account may be missing")


def message_of_run(where: Located, ref: RecordRef) -> str | None:
    """The message that a chatflow's run is part of, or None when it has none any more."""
    if where.is_named:
        return where.place.message_id
    session = where.opened.workspace.session
    if not versions.has(session.asker.version, versions.RUNS_BY_TRIGGER):
        return "(not told by this version of Dify)"
    now = int(session.asker.now())
    for trigger in _TRIGGERS:
        at: str | None = None
        for _ in range(_MOST_PAGES):
            floor = ref.created_at // SECOND - 1
            page = trigger_page(session, where.app.id, True, trigger, at, floor, now)
            for met in page.met:
                if met.run_id == ref.id:
                    return met.place.message_id
            at = page.at
            if at is None:
                break
    return None


def _candidates(workspaces: Sequence[Opened], ref: RecordRef) -> list[tuple[Opened, App]]:
    """The apps that may hold it, those first that held one lately."""
    found = [
        (opened, app)
        for opened in workspaces
        for app in opened.workspace.apps.values()
        if app.mode in _MODES.get(ref.kind, ())
    ]
    return sorted(found, key=lambda pair: -pair[0].memory.held_at.get(pair[1].id, 0.0))


def _holds(where: Located, ref: RecordRef) -> bool:
    """Whether the app has it. An answer that will not change is kept for the reading."""
    is_run, memory = ref.kind is RecordKind.RUN, where.opened.memory
    try:
        answer = record(where.get(f"{'workflow-runs' if is_run else 'messages'}/{ref.id}"), ref.id)
    except Denied as denied:
        if denied.is_gone:
            return False
        raise
    if answer is None:
        return False
    if is_run and answer.get("status") in ENDED:
        memory.runs.put(ref.id, answer, len(str(answer)))
    if not is_run and is_written(answer):
        memory.messages.put(ref.id, answer, len(str(answer)))
    return True


def _with_trigger(where: Located, ref: RecordRef) -> Located:
    """The log tells what started a workflow's run, and of all others of that time too; without it that stays unknown."""
    places, place = where.opened.memory.places, where.place
    places.put(key(ref), place)
    if ref.kind is RecordKind.RUN and where.app.mode == "workflow":
        second = ref.created_at // SECOND
        session = where.opened.workspace.session
        try:
            page = log_page(session, where.app.id, f"{second + LOGGED_SECONDS}:1", second - 1)
        except Denied:
            return where
        for met in page.met:
            places.put(key(met.ref), met.place)
        place = places.get(key(ref)) or place
    return Located(where.opened, where.app, place, False)
