"""Which traces stand on a page of the list: by filter and order, page by page, each trace once.

Every question walks one index from where the last page ended (keyset paging), so a page of a million traces costs what a
page of a hundred does. What no index can narrow further is filtered on the way, over a bounded number of entries.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from heapq import merge
from itertools import product

from exporter.model import Micros, Verdict

MOST_LOOKED = 50_000
"""Index entries looked at for one page; a rare find in a long history is made by going on from there."""

MOST_ASKED = 3_000
"""The same where each entry needs a look at its trace or calls."""

_LATEST = 2**62
_LAST_ID = "\U0010ffff"


class Order(StrEnum):
    """What stands first: the newest trace, or the one whose vendor − dify is the largest, up or down."""

    NEWEST = "newest"
    GAP = "gap"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a page ends: the value that is sorted by, and the id that parts equal ones."""

    key: int
    id: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """From `str(place)`. Raises ValueError."""
        key, dot, identity = text.partition(".")
        if not dot or not identity or len(identity) > 200:
            raise ValueError("not a place")
        return cls(int(key), identity)

    def __str__(self) -> str:
        return f"{self.key}.{self.id}"


_TOP = Place(_LATEST, _LAST_ID)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a page asks for; None means no restriction, no apps all of them. With a model, times are those of the trace's
    last call to it, and the page is sorted by these. In the order of gaps, traces without a difference are left out."""

    limit: int
    apps: tuple[str, ...] = ()
    model: str | None = None
    verdict: str | None = None
    since: Micros | None = None
    until: Micros | None = None
    order: Order = Order.NEWEST
    after: Place | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Trace ids in order. `further` is where to go on, None at the end; `is_cut` when the walk ended before the page was
    full, after `looked_at` entries."""

    trace_ids: tuple[str, ...]
    further: Place | None
    looked_at: int
    is_cut: bool


@dataclass(frozen=True, slots=True)
class _Entry:
    place: Place
    trace_id: str
    matches: Callable[[], bool]


def find(connection: sqlite3.Connection, wanted: Wanted) -> Found:
    """The next traces that match."""
    entries, most = _walk(connection, wanted)
    found: list[str] = []
    last, looked_at = wanted.after, 0
    for entry in entries:
        if len(found) == wanted.limit:
            return Found(tuple(found), last, looked_at, False)
        if looked_at == most:
            return Found(tuple(found), last, looked_at, True)
        last, looked_at = entry.place, looked_at + 1
        if entry.matches():
            found.append(entry.trace_id)
    return Found(tuple(found), None, looked_at, False)


def _walk(connection: sqlite3.Connection, wanted: Wanted) -> tuple[Iterator[_Entry], int]:
    if wanted.order is Order.GAP:
        return _by_gap(connection, wanted), MOST_LOOKED if wanted.model is None else MOST_ASKED
    if wanted.model is not None:
        return _by_model(connection, wanted, wanted.model), MOST_ASKED
    return _by_time(connection, wanted), MOST_LOOKED


def _always() -> bool:
    return True


def _by_time(connection: sqlite3.Connection, wanted: Wanted) -> Iterator[_Entry]:
    """Each combination of app and verdict is one range of an index; the ranges are merged."""
    after = _from(wanted)
    times = (_since(wanted), after.key, after.id)
    tail = (
        "started_at >= ? AND (started_at, trace_id) < (?, ?) ORDER BY started_at DESC, trace_id DESC LIMIT ?"
    )
    rest = (*times, wanted.limit + 1)
    verdicts = [wanted.verdict] if wanted.verdict is not None else [item.value for item in Verdict]
    if wanted.apps:
        query = f"SELECT started_at, trace_id FROM traces INDEXED BY traces_app WHERE app_id = ? AND verdict = ? AND {tail}"
        ranges = [connection.execute(query, (*pair, *rest)) for pair in product(wanted.apps, verdicts)]
    elif wanted.verdict is not None:
        query = (
            f"SELECT started_at, trace_id FROM traces INDEXED BY traces_verdict WHERE verdict = ? AND {tail}"
        )
        ranges = [connection.execute(query, (wanted.verdict, *rest))]
    else:
        query = f"SELECT started_at, trace_id FROM traces INDEXED BY traces_started WHERE {tail}"
        ranges = [connection.execute(query, rest)]
    for started_at, trace_id in merge(*ranges, reverse=True):
        yield _Entry(Place(started_at, trace_id), trace_id, _always)


def _by_gap(connection: sqlite3.Connection, wanted: Wanted) -> Iterator[_Entry]:
    """The index holds what is filtered by; only the model is asked of the trace's calls. It is walked from both its ends;
    of two gaps of one size the positive one comes first."""
    size, more, less = _gaps_from(wanted.after)
    columns = (
        "SELECT gap, trace_id, app_id, verdict, started_at FROM traces INDEXED BY traces_gap WHERE gap != 0"
    )
    above = connection.execute(
        f"{columns} AND gap > 0 AND (gap, trace_id) < (?, ?) ORDER BY gap DESC, trace_id DESC", (size, more)
    )
    below = connection.execute(
        f"{columns} AND gap < 0 AND (gap, trace_id) > (?, ?) ORDER BY gap, trace_id", (-size, less)
    )
    since, until = _since(wanted), _until(wanted)
    for gap, trace_id, app_id, verdict, started_at in merge(above, below, key=lambda row: -abs(row[0])):
        fits = (
            (not wanted.apps or app_id in wanted.apps)
            and wanted.verdict in (None, verdict)
            and since <= started_at < until
        )
        yield _Entry(
            Place(gap, trace_id),
            trace_id,
            lambda fits=fits, trace_id=trace_id: fits and _calls_model(connection, trace_id, wanted.model),  # type: ignore[misc]
        )


def _gaps_from(after: Place | None) -> tuple[int, str, str]:
    """The size of the gap behind which a walk goes on, and the ids at that size behind which the positive and the negative
    ones do."""
    if after is None:
        return _LATEST, _LAST_ID, ""
    return (after.key, after.id, "") if after.key > 0 else (-after.key, "", after.id)


def _by_model(connection: sqlite3.Connection, wanted: Wanted, model: str) -> Iterator[_Entry]:
    """The calls of the model, newest first; a trace stands where its last one does."""
    after = _from(wanted)
    rows = connection.execute(
        "SELECT started_at, call_id, trace_id, app_id FROM calls INDEXED BY calls_model"
        " WHERE model = ? AND started_at >= ? AND (started_at, call_id) < (?, ?)"
        " ORDER BY started_at DESC, call_id DESC",
        (model, _since(wanted), after.key, after.id),
    )
    for started_at, call_id, trace_id, app_id in rows:
        place = Place(started_at, call_id)
        fits = not wanted.apps or app_id in wanted.apps
        yield _Entry(
            place,
            trace_id,
            lambda fits=fits, place=place, trace_id=trace_id: (  # type: ignore[misc]
                fits
                and _has_verdict(connection, trace_id, wanted.verdict)
                and _last_call(connection, trace_id, model) == place
            ),
        )


def _from(wanted: Wanted) -> Place:
    """Where a walk by time begins: behind the last page, and before the end of the time asked for."""
    return min(wanted.after or _TOP, Place(_until(wanted), ""))


def _until(wanted: Wanted) -> Micros:
    return _LATEST if wanted.until is None else wanted.until


def _since(wanted: Wanted) -> Micros:
    return -_LATEST if wanted.since is None else wanted.since


def _has_verdict(connection: sqlite3.Connection, trace_id: str, verdict: str | None) -> bool:
    if verdict is None:
        return True
    row = connection.execute("SELECT verdict FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
    return row is not None and row[0] == verdict


def _calls_model(connection: sqlite3.Connection, trace_id: str, model: str | None) -> bool:
    return model is None or _last_call(connection, trace_id, model) is not None


def _last_call(connection: sqlite3.Connection, trace_id: str, model: str) -> Place | None:
    """Where the trace's last call to the model stands; None without one."""
    rows = connection.execute(
        "SELECT started_at, call_id FROM calls INDEXED BY calls_trace WHERE trace_id = ? AND model = ?",
        (trace_id, model),
    )
    return max((Place(*row) for row in rows), default=None)


def apps(connection: sqlite3.Connection) -> dict[str, str]:
    """Name by id of every app of which calls were summed, sorted by name."""
    rows = connection.execute("SELECT DISTINCT app_id, app_name FROM sum_groups").fetchall()
    return dict(sorted(rows, key=lambda row: (row[1].casefold(), row[0])))


def models(connection: sqlite3.Connection) -> list[str]:
    """Every model of which calls were summed, sorted."""
    rows = connection.execute("SELECT DISTINCT model FROM sum_groups WHERE model != ''")
    return sorted((name for (name,) in rows), key=str.casefold)


def newest_at(connection: sqlite3.Connection) -> Micros | None:
    """When the newest trace began; None in an empty ledger."""
    row = connection.execute("SELECT max(started_at) FROM traces").fetchone()
    return None if row[0] is None else int(row[0])
