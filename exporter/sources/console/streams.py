"""The lists that are read, one stream each: which an app has by its mode, and one page of each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from exporter.config import DifySettings
from exporter.model import SECOND, App, RecordKind, RecordRef
from exporter.sources.console import run_lists, versions
from exporter.sources.console.opened import Opened
from exporter.sources.console.places import Place, Talk
from exporter.sources.console.shapes import is_written
from exporter.sources.console.talks import (
    Conversation,
    TalkPage,
    chat_page,
    completion_page,
    messages_of,
    opened_message,
)
from exporter.sources.console.walk import Met, Page
from exporter.sources.filters import reason_to_leave_out
from exporter.sources.http.asking import Denied

PREFIX = "console"
TALKS_AT_A_TIME = 20
MOST_RESTARTS = 3
LONGEST_REST_SECONDS = 300.0

_BY_MODE = {
    "workflow": ("logs", "debug"),
    "advanced-chat": ("runs", "talks", "debug"),
    "chat": ("talks",),
    "agent-chat": ("talks",),
    "completion": ("completions",),
}
MODES = frozenset(_BY_MODE)


@dataclass(slots=True)
class Stream:
    """One list of one app. `waiting` are conversations of the present page (`page_of`) that are still to be read, `after` is where
    the list goes on then, `held` those that Dify could not tell, in this look and (`held_before`) in the last one; `restarts` counts how often
    a look began anew; `unread` counts completion entries that nobody opened, and which are therefore not read. `zone` is that
    of the pages read since the account's zone was known last (`zone_looks`), and `unsure` the floor of the look that they are of."""

    opened: Opened
    app: App
    what: str
    next_look: float = 0.0
    failures: int = 0
    restarts: int = 0
    newest: int = 0
    waiting: deque[Conversation] = field(default_factory=deque)
    after: str | None = None
    page_of: tuple[str, int | None] | None = None
    held: dict[str, Conversation] = field(default_factory=dict)
    held_before: frozenset[str] = frozenset()
    unread: int = 0
    zone: ZoneInfo | None = None
    zone_looks: int = 0
    unsure: int | None = None

    def floor_in_wrong_zone(self) -> int | None:
        """From where pages are to be read again because a person changed the account's zone meanwhile: their filters may have left
        hours out. None when all were right."""
        workspace, wrong = self.opened.workspace, None
        if self.zone_looks != workspace.zone_looks:
            wrong = self.unsure if self.zone != workspace.zone else None
            self.zone, self.zone_looks, self.unsure = workspace.zone, workspace.zone_looks, None
        return wrong

    def read_from(self, floor: int) -> None:
        """A page of a look from this floor was read."""
        self.unsure = floor if self.unsure is None else min(self.unsure, floor)

    @property
    def name(self) -> str:
        """The stream's name in the state."""
        return f"{PREFIX}/{self.app.id}/{self.what}"

    @property
    def is_talks(self) -> bool:
        """Whether its pages are conversations, which are read a few at a time."""
        return self.what in ("talks", "completions")


def streams_of(opened: Opened, dify: DifySettings) -> Iterator[Stream]:
    """The streams of a workspace, without those of apps that the filters leave out."""
    version = opened.workspace.session.asker.version
    for app in opened.workspace.apps.values():
        if reason_to_leave_out(dify, app, False):
            continue
        for what in _BY_MODE.get(app.mode, ()):
            if what == "debug" and not dify.debug_runs:
                continue
            if what == "runs" and not versions.has(version, versions.RUNS_BY_TRIGGER):
                continue
            yield Stream(opened, app, what)


def read_page(stream: Stream, at: str | None, floor: int, until: int | None) -> Page:
    """A page of records made since `floor` (and before `until`), with their places remembered. Raises as `Session.get`."""
    page = _talks(stream, at, floor, until) if stream.is_talks else _runs(stream, at, floor)
    wanted = tuple(
        met
        for met in page.met
        if met.ref.created_at >= floor * SECOND and (until is None or met.ref.created_at < until * SECOND)
    )
    for met in wanted:
        stream.opened.memory.places.put((met.ref.kind, met.ref.id), met.place)
    return Page(wanted, page.newest, page.at, page.unread)


def _runs(stream: Stream, at: str | None, floor: int) -> Page:
    session = stream.opened.workspace.session
    if stream.what == "logs":
        return run_lists.log_page(session, stream.app.id, at, floor)
    trigger = "debugging" if stream.what == "debug" else "app-run"
    is_chat = stream.app.mode == "advanced-chat"
    now = int(session.asker.now())
    try:
        page = run_lists.trigger_page(session, stream.app.id, is_chat, trigger, at, floor, now)
    except Denied as denied:
        if at is None or denied.status not in (400, 404) or stream.restarts >= MOST_RESTARTS:
            raise
        stream.restarts += 1  # the run at this position was deleted: once more from the newest on
        return run_lists.trigger_page(session, stream.app.id, is_chat, trigger, None, floor, now)
    stream.restarts = 0 if page.at is None else stream.restarts
    return page


def _talks(stream: Stream, at: str | None, floor: int, until: int | None) -> Page:
    """The messages of the page's next conversations; the page is asked for again when it is not in memory. A back-fill reads
    also the conversations that did not change."""
    if at is None:  # a new look: what was held is listed again, unless it was deleted
        at = f"{floor}:1" if stream.what == "talks" else "0:1"
        stream.held_before = frozenset(stream.held)
        stream.held.clear()
    if not stream.waiting or stream.page_of != (at, until):
        page = _talk_page(stream, at, floor)
        stream.waiting.clear()
        stream.waiting.extend(
            item for item in page.conversations if until is not None or _is_changed(stream, item)
        )
        stream.after, stream.page_of = page.at, (at, until)
        stream.newest = max([stream.newest, *(item.updated_at for item in page.conversations)])
    met: list[Met] = []
    for _ in range(min(TALKS_AT_A_TIME, len(stream.waiting))):
        met += _read_talk(stream, stream.waiting[0], floor, is_back_fill=until is not None)
        stream.waiting.popleft()
    unread = min((item.updated_at for item in stream.held.values()), default=None)
    goes_on_at = at if stream.waiting else stream.after
    if goes_on_at is None:
        for gone in stream.held_before - stream.held.keys():
            stream.opened.mended(_where(stream, gone))
    return Page(tuple(met), stream.newest or None, goes_on_at, unread)


def _read_talk(stream: Stream, conversation: Conversation, floor: int, *, is_back_fill: bool) -> list[Met]:
    """The messages of one conversation. One that Dify cannot tell is held for the next look, and the others go on."""
    try:
        found = _messages(stream, conversation, floor)
    except Denied as denied:
        if denied.status < 500 or is_back_fill:
            raise
        stream.held[conversation.id] = conversation
        stream.opened.trouble(_where(stream, conversation.id), denied, stream.app.id)
        return []
    stream.held.pop(conversation.id, None)
    stream.opened.mended(_where(stream, conversation.id))
    standing = (conversation.updated_at, conversation.message_count)
    stream.opened.memory.seen_talks.put(conversation.id, standing)
    return found


def _where(stream: Stream, conversation_id: str) -> str:
    return f"app {stream.app.name!r}, conversation {conversation_id}"


def _talk_page(stream: Stream, at: str | None, floor: int) -> TalkPage:
    workspace, memory = stream.opened.workspace, stream.opened.memory
    read = chat_page if stream.what == "talks" else completion_page
    page = read(workspace.session, stream.app.id, workspace.zone, at, floor)
    for item in page.conversations:
        memory.talks.put(item.id, Talk(item.name, item.session))
        if item.end_user and item.session:
            memory.sessions.put(item.end_user, item.session)
    return page


def _is_changed(stream: Stream, item: Conversation) -> bool:
    return stream.opened.memory.seen_talks.get(item.id) != (item.updated_at, item.message_count)


def _messages(stream: Stream, conversation: Conversation, floor: int) -> list[Met]:
    session, memory = stream.opened.workspace.session, stream.opened.memory
    met: list[Met] = []
    try:
        if stream.what == "talks":
            found = list(messages_of(session, stream.app.id, conversation.id, floor))
        else:
            message = opened_message(session, stream.app.id, conversation)
            found = [message] if message is not None else []
            stream.unread += message is None
    except Denied as denied:
        if not denied.is_gone:
            raise
        return []  # deleted since the list was read
    for given in found:
        created_at = int(given.get("created_at") or 0)
        if is_written(given) and session.asker.now() > created_at + 1:
            memory.messages.put(given["id"], given, _size(given))
        ref = RecordRef(RecordKind.MESSAGE, given["id"], created_at * SECOND)
        trigger = None
        known = memory.places.get((ref.kind, ref.id))
        if known is not None:
            trigger = known.trigger
        met.append(Met(ref, Place(stream.app.id, trigger, given["id"])))
    return met


def _size(given: dict[str, object]) -> int:
    """About the memory that an answer takes."""
    return 2000 + 2 * len(str(given.get("message"))) + 2 * len(str(given.get("answer")))


def rest_seconds(stream: Stream, base_seconds: float) -> float:
    """How long a list that was read to its end is left alone: longer, the longer nothing happened in it."""
    quiet = stream.opened.workspace.session.asker.now() - stream.newest
    return max(base_seconds, min(quiet / 20, LONGEST_REST_SECONDS))


def is_due(stream: Stream) -> bool:
    """Whether the list may be looked at now."""
    return time.monotonic() >= stream.next_look
