"""Where reading stands in one stream of rows, and why no row is skipped. Pure: asks neither database nor clock.

A row's created_at is fixed before its transaction commits, so rows appear out of order, seconds or hours late. We
read forward along (created_at, id) (the *tail*) and now and then read again what lies behind it (a *sweep*).

Invariant: every row that is visible and not before the start was returned, or lies after the tail, or lies in the
window of the next sweep. It is kept by three rules:

1. Marks. A mark (T, next) is taken when the tail stood at T and the database was about to give out transaction id
   `next`. Once the snapshot's xmin reaches it, all transactions from before the mark have ended and can be seen: T is
   *closed*. (The snapshot's own xmax will not do: it is one past the last *completed* id, and transactions with
   higher ids may be running.) A transaction that cannot be seen now took its id after the newest closed T, so its rows were
   created after T − overlap (the overlap covers rows created before their transaction got an id).
2. Each sweep reaches back to the T that was closed when the sweep *before* it began, less the overlap: whatever that
   one could not see is inside. While a long transaction is open, nothing closes and the windows keep reaching back.
3. The tail stays a little behind the database's clock, so a row dated in the future (rounding, clock skew)
   is returned at once but does not carry the tail past rows that are still to come.

A sweep returns rows a second time; the reader ignores what it knows. Times of marks are created_at times of seen
rows where possible, not clock times, so an application host with a slow clock does not break rule 1.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from exporter.errors import SourceRefused
from exporter.model import Micros

NIL = "00000000-0000-0000-0000-000000000000"
"""Sorts before every id, so that a position (t, NIL) includes all rows of t."""

UNKNOWN_AGE: Micros = 86_400 * 1_000_000
"""How old a transaction that was open before our very first look is assumed to be at most (one day)."""

MOST_MARKS = 32

PAGES_PER_INTERVAL = 60
"""A sweep of more pages than this (a long transaction is open) is repeated correspondingly later."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the order (created_at, id)."""

    created_at: Micros
    id: str


@dataclass(frozen=True, slots=True)
class Moment:
    """The database's clock, and its transaction ids: all below `xmin` have ended and can be seen, and `next_id` has not
    been given out yet. Both None when the database cannot tell."""

    now: Micros
    xmin: int | None = None
    next_id: int | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """Transactions with ids from `next_id` on began to write after the tail stood at `at`."""

    at: Micros
    next_id: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """A re-reading under way: rows after `at`, created at `until` or before."""

    at: Position
    until: Micros


@dataclass(frozen=True, slots=True)
class Cursor:
    """The state of one stream. `ahead` is where a pass over rows dated after the clock goes on; `reach` is how far
    back the next sweep goes (before the overlap); `swept_at` and `sweep_pages` are of the present or last sweep;
    `tail_read` says that the tail had its turn since then."""

    start: Micros
    tail: Position
    reach: Micros
    closed: Micros
    swept_at: Micros
    marks: tuple[Mark, ...] = ()
    ahead: Position | None = None
    sweep: Sweep | None = None
    sweep_pages: int = 0
    tail_read: bool = False


def begin(start: Micros, moment: Moment) -> Cursor:
    """The cursor before anything was read: the first row is the first one created at `start` or later."""
    is_quiet = moment.xmin == moment.next_id
    closed = moment.now if is_quiet else moment.now - UNKNOWN_AGE
    marks = () if is_quiet or moment.next_id is None else (Mark(moment.now, moment.next_id),)
    return Cursor(start, Position(start, NIL), closed, closed, moment.now, marks)


def look(cursor: Cursor, moment: Moment, overlap: Micros, interval: Micros) -> Cursor:
    """The cursor at the start of a call: closed marks are settled, and a sweep begins when one is due."""
    cursor = _settled(cursor, moment)
    pause = interval * max(PAGES_PER_INTERVAL, cursor.sweep_pages) // PAGES_PER_INTERVAL
    is_due = abs(moment.now - cursor.swept_at) >= pause
    if cursor.sweep is not None or not cursor.tail_read or not is_due:
        return cursor
    oldest = max(cursor.start, min(cursor.tail.created_at, cursor.reach) - overlap)
    sweep = Sweep(Position(oldest, NIL), cursor.tail.created_at)
    return replace(cursor, sweep=sweep, reach=cursor.closed, sweep_pages=0, tail_read=False)


def next_window(cursor: Cursor, moment: Moment, margin: Micros) -> tuple[Position, Micros | None]:
    """What to read now: rows after a position, and (in a sweep) created at a time or before."""
    if cursor.sweep is not None:
        return cursor.sweep.at, cursor.sweep.until
    return cursor.ahead or min(cursor.tail, _limit(cursor, moment, margin)), None


def passed(cursor: Cursor, moment: Moment, margin: Micros, last: Position | None, is_full: bool) -> Cursor:
    """The cursor after a page of that window: its last row (None = no rows), and whether more may follow."""
    if cursor.sweep is not None:
        rest = replace(cursor.sweep, at=last) if is_full and last is not None else None
        return replace(cursor, sweep=rest, swept_at=moment.now, sweep_pages=cursor.sweep_pages + 1)
    limit = _limit(cursor, moment, margin)
    end = last or cursor.ahead or cursor.tail
    tail = min(end, limit)
    ahead = end if is_full and end > limit else None
    cursor = replace(cursor, tail=tail, ahead=ahead, tail_read=True)
    return _marked(cursor, moment, moment.now if is_full else tail.created_at)


def _limit(cursor: Cursor, moment: Moment, margin: Micros) -> Position:
    """How far the tail may go."""
    return Position(max(cursor.start, moment.now - margin), NIL)


def _settled(cursor: Cursor, moment: Moment) -> Cursor:
    if moment.xmin is None or moment.next_id is None:
        return replace(cursor, closed=moment.now, marks=())
    marks = cursor.marks
    if marks and moment.next_id < marks[-1].next_id:  # ids ran backwards: a restored or failed-over database
        marks = ()
    ended = [mark.at for mark in marks if mark.next_id <= moment.xmin]
    still_open = tuple(mark for mark in marks if mark.next_id > moment.xmin)
    return replace(cursor, closed=max([cursor.closed, *ended]), marks=still_open)


def _marked(cursor: Cursor, moment: Moment, at: Micros) -> Cursor:
    """Every mark is true by itself, so dropping some only makes sweeps wider: the list may be thinned at will."""
    if moment.xmin is None or moment.next_id is None:
        return cursor
    if moment.xmin == moment.next_id:
        return replace(cursor, closed=max(cursor.closed, at), marks=())
    marks = cursor.marks
    if marks and marks[-1].next_id == moment.next_id:
        at, marks = max(at, marks[-1].at), marks[:-1]
    elif marks and marks[-1].at >= at:
        return cursor
    if len(marks) >= MOST_MARKS:
        marks = marks[::2]
    return replace(cursor, marks=(*marks, Mark(at, moment.next_id)))


def to_text(cursor: Cursor) -> str:
    """The cursor as the state keeps it."""

    return json.dumps(
        {
            "v": 1,
            "start": cursor.start,
            "tail": _written(cursor.tail),
            "ahead": _written(cursor.ahead),
            "reach": cursor.reach,
            "closed": cursor.closed,
            "swept": cursor.swept_at,
            "pages": cursor.sweep_pages,
            "marks": [[mark.at, mark.next_id] for mark in cursor.marks],
            "sweep": None if cursor.sweep is None else [_written(cursor.sweep.at), cursor.sweep.until],
            "read": cursor.tail_read,
        },
        separators=(",", ":"),
    )


def from_text(text: str) -> Cursor:
    """The cursor from its text. Raises `SourceRefused` when the text is not one of ours."""
    try:
        held = json.loads(text)
        if held["v"] != 1:
            raise ValueError("unknown version")
        sweep = held["sweep"]
        return Cursor(
            start=int(held["start"]),
            tail=_read(held["tail"]),
            reach=int(held["reach"]),
            closed=int(held["closed"]),
            swept_at=int(held["swept"]),
            sweep_pages=int(held["pages"]),
            marks=tuple(Mark(int(at), int(next_id)) for at, next_id in held["marks"]),
            ahead=_read(held["ahead"]) if held["ahead"] else None,
            sweep=Sweep(_read(sweep[0]), int(sweep[1])) if sweep else None,
            tail_read=bool(held["read"]),
        )
    except (KeyError, TypeError, ValueError, IndexError):
        raise _not_ours() from None


def position_text(position: Position) -> str:
    """A bare position, as a back-fill keeps it."""
    return json.dumps(_written(position), separators=(",", ":"))


def position_from_text(text: str) -> Position:
    """Its inverse. Raises `SourceRefused`."""
    try:
        return _read(json.loads(text))
    except (KeyError, TypeError, ValueError, IndexError):
        raise _not_ours() from None


def _not_ours() -> SourceRefused:
    """The error for a stored position that was not written by this module."""
    return SourceRefused(
        "the stored reading position of Dify's database cannot be understood",
        "a newer version of this program may have written it; run that version, or start with a new state file",
    )


def _written(position: Position | None) -> list[Micros | str] | None:
    return None if position is None else [position.created_at, position.id]


def _read(held: list[Any]) -> Position:
    return Position(int(held[0]), str(held[1]))
