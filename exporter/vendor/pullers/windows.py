"""Pulling from a log that is asked for stretches of time: which stretch next, how far it was read, what comes late.

A cycle reads from a little before the last one's end up to now, window by window; a window is as wide as some hundred
rows and is read page by page. From time to time a cycle begins `traits.reread_seconds` before the last such cycle's
end, so a record that appears at most that late is seen at least once, in whatever order rows arrive. Everything it
knows is in the position, so it goes on at the same page after a restart.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Literal, Protocol

from exporter.clock import micros
from exporter.errors import Unreachable
from exporter.model import SECOND, Micros
from exporter.vendor.adapters import Adapter
from exporter.vendor.pullers.base import Pulled, Refused, Traits
from exporter.vendor.pullers.rows import Found
from exporter.vendor.pullers.seen import Seen, fingerprint

LIMIT = 5_000
"""Records in one pull, about: the page that passes it is still taken."""

_MOST_REQUESTS = 50
_EARLIEST_SECOND = 1_672_531_200  # 2023-01-01: no gateway that we read is older
_FIRST_WIDTH_SECONDS = 3_600
_WIDEST_SECONDS = 366 * 86_400
_FEW_ROWS, _MANY_ROWS = 100, 2_000
_REREADS = 12  # a reread begins after this part of the stretch that it reads


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time in Unix seconds, both ends included."""

    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a window's rows. `next` is what to ask for next, None at the window's end; `covered_until`: the answer
    reached beyond the window, up to there; `is_too_much`: the window is read again in narrower ones, where it can be."""

    rows: tuple[object, ...] = ()
    next: str | None = None
    refused: tuple[Refused, ...] = ()
    covered_until: int | None = None
    is_too_much: bool = False


class Log(Protocol):
    """A log that can be asked for a window. Raises Unreachable or Misconfigured, nothing else."""

    row_id: str
    """The field that names a row in refusals."""

    @property
    def pause_seconds(self) -> float:
        """Asking more often than this is not worth its cost."""

    def page(self, window: Window, cursor: str | None) -> Page:
        """One page; `cursor` is what the page before called `next`."""

    def check(self) -> str:
        """What was seen there, in words."""

    def close(self) -> None:
        """Give back connections."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where reading stands, in Unix seconds. `floor`: nothing before it is asked for; `through`: read up to here once;
    `reread_through`: the end of the last cycle that read late rows too. The rest is of the cycle under way."""

    floor: int
    through: int
    reread_through: int
    width: int = _FIRST_WIDTH_SECONDS
    target: int | None = None
    is_reread: bool = False
    since: int = 0
    until: int | None = None
    cursor: str | None = None
    rows: int = 0

    def text(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Pace:
    """How a log is read: `settle_seconds` keeps windows out of the present, where rows still appear."""

    every_seconds: float
    start: Literal["beginning", "now"] | datetime
    settle_seconds: float


class WindowPuller:
    """A Puller over a Log."""

    def __init__(self, name: str, traits: Traits, pace: Pace, log: Log, adapter: Adapter) -> None:
        self._name, self._traits, self._pace = name, traits, pace
        self._log, self._adapter = log, adapter
        self._seen = Seen()

    @property
    def name(self) -> str:
        """The source's name."""
        return self._name

    @property
    def traits(self) -> Traits:
        """What the source declares."""
        return self._traits

    @property
    def every_seconds(self) -> float:
        """The pause between pulls."""
        return self._pace.every_seconds

    def pull(self, position: str | None, now: Micros) -> Pulled:
        """The next pages; what was read before a failure is returned, and the failure comes with the next pull."""
        self._seen.begin(position)
        found = Found(self._name, self._adapter)
        place = _read_place(position) or _first_place(self._pace.start, now)
        place = self._begin(place, now)
        requests = 0
        while place.target is not None and requests < _MOST_REQUESTS and found.count < LIMIT:
            window = _window(place)
            try:
                page = self._log.page(window, place.cursor)
            except Unreachable:
                if not requests:
                    raise
                break
            requests += 1
            self._keep(page, found)
            place = _after(place, window, page)
        text = place.text()
        self._seen.end(text)
        return Pulled(tuple(found.records), tuple(found.refused), (), text, place.target is None)

    def check(self) -> str:
        """What was seen there."""
        return self._log.check()

    def close(self) -> None:
        """Give back connections."""
        self._log.close()

    def _begin(self, place: _Place, now: Micros) -> _Place:
        """The place with a cycle under way, if one is due."""
        target = now // SECOND - int(self._pace.settle_seconds)
        if place.target is not None or target - place.through < self._log.pause_seconds:
            return place
        return _begin_cycle(place, target, self._traits)

    def _keep(self, page: Page, found: Found) -> None:
        found.refused.extend(page.refused)
        for row in page.rows:
            key = fingerprint(row)
            if self._seen.is_new(key):
                name = row.get(self._log.row_id) if isinstance(row, dict) else None
                found.keep(
                    row,
                    f"row {name}" if isinstance(name, str | int) else f"row with checksum {key or 'unknown'}",
                )


def _first_place(start: Literal["beginning", "now"] | datetime, now: Micros) -> _Place:
    if start == "beginning":
        floor = _EARLIEST_SECOND
    elif start == "now":
        floor = now // SECOND
    else:
        floor = micros(start) // SECOND
    return _Place(floor=floor, through=floor, reread_through=floor)


def _read_place(position: str | None) -> _Place | None:
    """None for no position and for one of another kind of source: reading twice is harmless."""
    if position is None:
        return None
    try:
        return _Place(**json.loads(position))
    except (ValueError, TypeError):
        return None


def _begin_cycle(place: _Place, target: int, traits: Traits) -> _Place:
    is_reread = target - place.reread_through >= traits.reread_seconds / _REREADS
    near = place.through - int(traits.delay_seconds)
    far = place.reread_through - int(traits.reread_seconds)
    since = max(place.floor, min(near, far) if is_reread else near)
    if target < since:
        return place
    return replace(place, target=target, is_reread=is_reread, since=since, until=None, cursor=None, rows=0)


def _window(place: _Place) -> Window:
    if place.until is not None:
        return Window(place.since, place.until)
    return Window(place.since, min(place.since + place.width, place.target or place.since))


def _after(place: _Place, window: Window, page: Page) -> _Place:
    """The place once a page was taken."""
    if page.is_too_much and window.until - window.since > 1:
        width = max(1, (window.until - window.since) // 4)
        return replace(place, width=width, until=None, cursor=None, rows=0)
    rows = place.rows + len(page.rows)
    if page.next is not None:
        return replace(place, until=window.until, cursor=page.next, rows=rows)
    reached = max(window.until, page.covered_until or 0)
    if place.target is not None and reached < place.target:
        width = _next_width(place.width, rows)
        return replace(place, width=width, since=reached, until=None, cursor=None, rows=0)
    return _end_cycle(place)


def _next_width(width: int, rows: int) -> int:
    if rows <= _FEW_ROWS:
        return min(width * 2, _WIDEST_SECONDS)
    return max(1, width // 2) if rows > _MANY_ROWS else width


def _end_cycle(place: _Place) -> _Place:
    target = place.target or place.through
    return replace(
        place,
        through=max(place.through, target),
        reread_through=target if place.is_reread else place.reread_through,
        target=None,
        is_reread=False,
        until=None,
        cursor=None,
        rows=0,
    )
