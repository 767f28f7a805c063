"""The source that reads Dify through its Console API: the same rows, hence the same traces and ids, as from the database.

Promises: asks only what changes nothing in Dify, keeps to the request budget, tries a login once, skips nothing for good: what one
app or one record refuses is named and tried again, and the rest goes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from exporter.config import DifySettings
from exporter.errors import ExporterError, SourceRefused, Unreachable
from exporter.model import SECOND, Micros, RecordRef
from exporter.sources.console import walk
from exporter.sources.console.counting import count
from exporter.sources.console.describe import described, troubles_of
from exporter.sources.console.fetching import Fetcher
from exporter.sources.console.login import Account, AdminKey
from exporter.sources.console.opened import APPS_AGAIN_SECONDS, Opened, pause_seconds, refusal
from exporter.sources.console.own_tracing import tracing_of
from exporter.sources.console.refusals import Refusals
from exporter.sources.console.session import Session
from exporter.sources.console.streams import Stream, is_due, read_page, rest_seconds, streams_of
from exporter.sources.console.workspace import open_workspace
from exporter.sources.http.asking import Asker, Denied
from exporter.sources.http.pace import Pace
from exporter.sources.rows import Fetched, Found
from exporter.sources.tracing import Tracing

LEAST_OVERLAP_SECONDS = 600.0
"""A list may be left alone for half of this; what came meanwhile must lie in the next look's overlap."""

TURN_SECONDS = 20.0
TURN_RECORDS = 200


def open_console(dify: DifySettings, refusals: Path | None = None) -> ConsoleSource:
    """Log in everywhere. Raises `Misconfigured`, `Unreachable` or `SourceRefused` when no workspace lets us in.

    `refusals` is the file in which failed logins are remembered.
    """
    pace = Pace(dify.console.requests_per_minute)
    opened: list[Opened] = []
    refused: list[ExporterError] = []
    for session in _sessions(dify, pace, Refusals(refusals)):
        try:
            opened.append(Opened(open_workspace(session)))
        except SourceRefused as error:
            refused.append(error)
            session.asker.close()
        except Denied as denied:
            refused.append(SourceRefused(f"Dify's Console API refuses a first look: {denied}", denied.hint))
            session.asker.close()
    if not opened:
        raise refused[0]
    return ConsoleSource(dify, pace, opened, refused, Fetcher(opened, dify))


def _sessions(dify: DifySettings, pace: Pace, refusals: Refusals) -> Iterator[Session]:
    console = dify.console
    for workspace in console.workspaces:
        key = AdminKey(console.admin_key.get_secret_value(), workspace)
        yield Session(Asker(console.url, console.timeout, console.version), pace, key, refusals)
    for email, password in console.logins():
        account = Account(email, password.get_secret_value())
        yield Session(Asker(console.url, console.timeout, console.version), pace, account, refusals)


@dataclass(slots=True)
class _Turn:
    """A round over the lists ends early when enough was found, or something was found and time is up: what was found is read
    first. A list asked again after it was told to wait begins the next round."""

    records: int = 0
    began: float = field(default_factory=time.monotonic)
    told_to_wait: set[str] = field(default_factory=set)

    def took(self, records: int) -> None:
        self.records += records

    def is_over(self, stream: str) -> bool:
        if stream in self.told_to_wait:
            self.records, self.began, self.told_to_wait = 0, time.monotonic(), set()
        is_late = time.monotonic() - self.began > TURN_SECONDS
        if self.records >= TURN_RECORDS or (self.records and is_late):
            self.told_to_wait.add(stream)
            return True
        return False


@dataclass(slots=True)
class ConsoleSource:
    """A `Source`. Used by one thread at a time."""

    dify: DifySettings
    pace: Pace
    opened: list[Opened]
    refused: list[ExporterError]
    fetcher: Fetcher
    known: dict[str, Stream] = field(default_factory=dict)
    turn: _Turn = field(default_factory=_Turn)

    @property
    def streams(self) -> tuple[str, ...]:
        """The lists of all apps that are there now, those first that have waited longest. Raises `SourceRefused` when no workspace
        lets us in any more."""
        present: dict[str, Stream] = {}
        for opened in self.opened:
            try:
                opened.refresh()
            except SourceRefused as error:
                opened.lock_out(error)
            for stream in streams_of(opened, self.dify):
                held = self.known.get(stream.name)
                present[stream.name] = held if held is not None and held.app == stream.app else stream
        locked = [opened.refused for opened in self.opened if opened.refused]
        if len(locked) == len(self.opened):
            raise refusal(locked[0])
        self.known = present
        return tuple(sorted(present, key=lambda name: (present[name].next_look, name)))

    def discover(self, stream: str, cursor: str | None) -> Found:
        """The next page. Says that it is caught up while the list rests, and while enough waits to be fetched."""
        list_ = self.known.get(stream)
        position = self._position(cursor)
        unmoved = Found((), cursor or walk.to_text(position), caught_up=True)
        if list_ is None or not is_due(list_) or self.turn.is_over(stream):
            return unmoved
        overlap = int(max(self.dify.overlap, LEAST_OVERLAP_SECONDS))
        again = list_.floor_in_wrong_zone() if list_.is_talks else None
        position = position if again is None else position.again_from(again, overlap)
        looking = position.begun(int(list_.opened.workspace.session.asker.now()), overlap)
        try:
            page = read_page(list_, looking.at, looking.floor, None)
        except Denied as denied:
            self._refused(list_, denied)
            return unmoved
        except SourceRefused as error:
            self._locked_out(list_, error)
            return unmoved
        list_.read_from(looking.floor)
        self._read(list_, page.newest)
        self.turn.took(sum(met.ref.created_at >= position.mark * SECOND for met in page.met))
        moved = looking.turned(page, list_.newest)
        is_at_end = moved.began is None
        if is_at_end:
            list_.next_look = time.monotonic() + rest_seconds(list_, max(10.0, self.dify.poll_interval))
        return Found(tuple(met.ref for met in page.met), walk.to_text(moved), caught_up=is_at_end)

    def discover_range(self, stream: str, since: Micros, until: Micros, after: str | None) -> Found:
        """One page of the records made in [since, until). The cursor is the list's own position."""
        list_ = self._list(stream)
        try:
            page = read_page(list_, after or None, since // SECOND, -(-until // SECOND))
        except Denied as denied:
            raise _cannot_go_on(list_, denied) from None
        return Found(tuple(met.ref for met in page.met), page.at or "", caught_up=page.at is None)

    def count_range(self, stream: str, since: Micros, until: Micros) -> int:
        """How many records the list has in that range, as far as Dify counts them."""
        list_ = self._list(stream)
        try:
            return count(list_, since // SECOND, -(-until // SECOND))
        except Denied as denied:
            raise _cannot_go_on(list_, denied) from None

    def fetch(self, refs: tuple[RecordRef, ...]) -> Fetched:
        """The rows of these records, or of the first of them."""
        self.turn = _Turn()
        return self.fetcher.fetch(refs)

    def tracing(self) -> Tracing:
        """Dify's own tracing of the apps that are read. A request for each app that was not asked lately."""
        return tracing_of(self.opened, self.dify)

    def describe(self) -> Iterator[tuple[str, str]]:
        """Dify's version, workspaces, budget, what is refused, and what this source cannot see."""
        yield from described(self.dify, self.opened, self.refused, self.known.values())

    def troubles(self) -> tuple[str, ...]:
        """What Dify refuses now, why, and what to do; each is gone when it works again."""
        return tuple(troubles_of(self.opened, self.refused))

    def close(self) -> None:
        """End waiting, close connections."""
        self.pace.closing.set()
        for opened in self.opened:
            opened.workspace.session.asker.close()

    def _list(self, name: str) -> Stream:
        if name not in self.known:
            _ = self.streams
        found = self.known.get(name)
        if found is None:
            raise SourceRefused(
                f"the list {name} is gone: its app was deleted, or the account sees it no more"
            )
        return found

    def _position(self, cursor: str | None) -> walk.Cursor:
        if cursor is not None:
            return walk.from_text(cursor)
        return walk.begin(walk.first_second(self.dify, self.opened[0].workspace.session.asker.now()))

    def _locked_out(self, list_: Stream, error: SourceRefused) -> None:
        """One workspace lets us in no more; the others go on. Raises the error when there is no other."""
        list_.opened.lock_out(error)
        if all(opened.refused for opened in self.opened):
            raise error
        list_.next_look = time.monotonic() + APPS_AGAIN_SECONDS

    def _read(self, list_: Stream, newest: int | None) -> None:
        list_.failures = 0
        list_.opened.refused = None
        list_.newest = max(list_.newest, newest or 0)
        list_.opened.mended(_where(list_))

    def _refused(self, list_: Stream, denied: Denied) -> None:
        """The list is left alone for a while; an app that is gone is looked for in the list of apps."""
        list_.failures += 1
        list_.next_look = time.monotonic() + pause_seconds(list_.failures)
        if denied.is_gone and list_.opened.refused is None:
            list_.opened.looked_at = float("-inf")
        list_.opened.trouble(_where(list_), denied, list_.app.id)


def _cannot_go_on(list_: Stream, denied: Denied) -> Unreachable:
    """A back-fill may leave nothing out in silence, so it ends here and can be resumed."""
    return Unreachable(
        f"{_where(list_)} cannot be back-filled: {denied}",
        denied.hint or f"repair it, or leave the app out: dify.exclude.apps: [{list_.app.id}]",
    )


def _where(list_: Stream) -> str:
    return f"app {list_.app.name!r} ({list_.what})"
