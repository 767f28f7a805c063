"""How far a list was read: a look goes over everything that is newer than the last look, less an overlap, page by page.

The lists cannot say "what is new": they are ordered by time, to the second, newest or oldest first, and move while they are
read. So every look reads the overlap again (a known record is ignored), pages meet in a whole second, and the mark moves only
when a look has reached its end. The position inside a look is kept too, so that a long first look survives a restart.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from exporter.config import DifySettings
from exporter.errors import SourceRefused
from exporter.model import RecordRef
from exporter.sources.console.places import Place


@dataclass(frozen=True, slots=True)
class Met:
    """A record that a list names, where it is, the run that the list has it by, and who made it where the list tells that."""

    ref: RecordRef
    place: Place
    run_id: str | None = None
    created_by: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its records, the newest time on it (seconds), and where to go on (None: the look has reached its end). What was
    made at `unread` or later could not all be read, so the mark stays before it."""

    met: tuple[Met, ...]
    newest: int | None
    at: str | None
    unread: int | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """All times in whole seconds by Dify's clock. Everything before `mark` was found; a look that began at `began` is
    under way when that is not None, down (or up) from `floor`, at position `at`."""

    start: int
    mark: int
    began: int | None = None
    floor: int = 0
    at: str | None = None

    def begun(self, now: int, overlap: int) -> Cursor:
        """The cursor of a look under way: this one, or a new one from `now`."""
        if self.began is not None:
            return self
        return replace(self, began=now, floor=max(self.start, self.mark - overlap), at=None)

    def again_from(self, floor: int, overlap: int) -> Cursor:
        """The cursor whose next look begins at that time again."""
        return replace(self, mark=min(self.mark, floor + overlap), began=None, at=None)

    def turned(self, page: Page, newest: int | None) -> Cursor:
        """After a page: further inside the look, or at its end. The mark goes no further than the `newest` time that the list ever
        showed: what the list's times and the clock of the answers have to do with each other is not known (a container in
        another time zone than UTC tells them hours off)."""
        if page.at is not None or self.began is None:
            return replace(self, at=page.at)
        reached = min(self.began, *(time for time in (page.unread, newest or self.mark) if time is not None))
        return replace(self, mark=max(self.mark, reached), began=None, at=None)


def first_second(dify: DifySettings, now: float) -> int:
    """Where the first look begins, in seconds since the epoch."""
    if dify.start == "beginning":
        return 0
    if dify.start == "now":
        return int(now)
    start: datetime = dify.start
    return int((start if start.tzinfo is not None else start.replace(tzinfo=UTC)).timestamp())


def begin(start: int) -> Cursor:
    """Before anything was read."""
    return Cursor(start, start)


def to_text(cursor: Cursor) -> str:
    """The cursor as the state keeps it."""
    held = [cursor.start, cursor.mark, cursor.began, cursor.floor, cursor.at]
    return json.dumps({"console": 1, "walk": held}, separators=(",", ":"))


def from_text(text: str) -> Cursor:
    """Its inverse. Raises `SourceRefused` when the text is not one of ours."""
    try:
        held = json.loads(text)
        if held["console"] != 1:
            raise ValueError("unknown version")
        start, mark, began, floor, at = held["walk"]
        return Cursor(
            int(start),
            int(mark),
            None if began is None else int(began),
            int(floor),
            None if at is None else str(at),
        )
    except (KeyError, TypeError, ValueError):
        raise SourceRefused(
            "the stored reading position of Dify's Console API cannot be understood",
            "a newer version of this program may have written it; run that version, or start with a new state file",
        ) from None
