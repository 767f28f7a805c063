"""Which stretches of time matching must look at (again), and what lies in a stretch: calls, traces, vendor requests.

Calls and requests wait here, indexed by time, and are loaded a slice at a time, so that memory does not grow with them.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exporter.model import SECOND, Micros
from exporter.vendor.fingerprint import CallPrint
from exporter.vendor.hidden.traces import TracePrint
from exporter.vendor.matching.skew import shifted
from exporter.vendor.record import VendorCall

_NEAR = 60 * SECOND
"""Stretches closer than this are looked at as one."""

_LONG = 120 * SECOND
"""Calls that took longer have an index of their own (`calls_long`), so that a stretch finds those that reach into it."""

_LONGEST = 86_400 * SECOND

Times = tuple[Micros, Micros]


def mark(connection: sqlite3.Connection, times: Iterable[Times]) -> None:
    """Something is new in these stretches. Belongs into the transaction that stores it."""
    connection.executemany("INSERT INTO unmatched_times VALUES (?, ?)", merged(times, _NEAR))


def merged(times: Iterable[Times], gap: Micros = 0) -> list[Times]:
    """The stretches in order, those that overlap or nearly touch as one."""
    found: list[Times] = []
    for since, until in sorted(times):
        if found and since <= found[-1][1] + gap:
            found[-1] = (found[-1][0], max(found[-1][1], until))
        else:
            found.append((since, until))
    return found


def waiting(connection: sqlite3.Connection) -> bool:
    """Whether matching has something to look at."""
    return connection.execute("SELECT 1 FROM unmatched_times LIMIT 1").fetchone() is not None


def gather(connection: sqlite3.Connection) -> Times | None:
    """The first stretch to look at, after all marked ones were put together; None when there is none."""
    rows = connection.execute("SELECT since, until FROM unmatched_times").fetchall()
    if not rows:
        return None
    stretches = merged(rows, _NEAR)
    if len(stretches) < len(rows):
        connection.execute("DELETE FROM unmatched_times")
        connection.executemany("INSERT INTO unmatched_times VALUES (?, ?)", stretches)
    return stretches[0]


def looked_at(connection: sqlite3.Connection, stretch: Times, rest: Times | None) -> None:
    """The stretch was looked at but for this rest (None: whole). What was marked meanwhile stays marked."""
    connection.execute(
        "DELETE FROM unmatched_times WHERE rowid IN (SELECT rowid FROM unmatched_times WHERE since = ? AND until = ?"
        " LIMIT 1)",
        stretch,
    )
    if rest is not None:
        connection.execute("INSERT INTO unmatched_times VALUES (?, ?)", rest)


def longest_call(connection: sqlite3.Connection, stretch: Times) -> Micros:
    """How long the longest call took that ran near the stretch; at least what every call may take."""
    row = connection.execute(
        "SELECT max(ended_at - started_at) FROM calls INDEXED BY calls_long WHERE started_at BETWEEN ? AND ?"
        " AND ended_at - started_at > 120000000",
        (stretch[0] - 3600 * SECOND, stretch[1] + 3600 * SECOND),
    ).fetchone()
    return max(_LONG, int(row[0] or 0))


def earliest_reaching(connection: sqlite3.Connection, time: Micros) -> Micros:
    """When the first of the calls began that reach up to that time; the time itself when none does."""
    row = connection.execute(
        "SELECT min(started_at) FROM calls INDEXED BY calls_long WHERE started_at BETWEEN ? AND ?"
        " AND ended_at - started_at > 120000000 AND ended_at >= ?",
        (time - _LONGEST, time, time),
    ).fetchone()
    return time if row[0] is None else int(row[0])


def slice_end(connection: sqlite3.Connection, stretch: Times, most: int) -> Micros:
    """Where to cut a stretch so that about `most` calls and as many requests begin before the cut."""
    since, until = stretch
    cuts = [until]
    for table, column in (("calls", "started_at"), ("evidence", "at")):
        row = connection.execute(
            f"SELECT {column} FROM {table} WHERE {column} >= ? AND {column} < ? ORDER BY {column} LIMIT 1 OFFSET ?",
            (since, until, most),
        ).fetchone()
        if row:
            cuts.append(int(row[0]))
    return max(since + 1, min(cuts))


def calls(connection: sqlite3.Connection, since: Micros, until: Micros) -> list[CallPrint]:
    """The fingerprints of all calls that ran at some moment of the stretch."""
    rows = connection.execute(
        "SELECT fingerprint FROM calls WHERE started_at BETWEEN ? AND ? AND ended_at >= ? AND fingerprint != x''"
        " UNION ALL SELECT fingerprint FROM calls INDEXED BY calls_long WHERE started_at >= ? AND started_at < ?"
        " AND ended_at - started_at > 120000000 AND ended_at >= ? AND fingerprint != x''",
        (since - _LONG, until, since, since - _LONGEST, since - _LONG, since),
    )
    return [CallPrint.from_json(stored) for (stored,) in rows]


def traces(connection: sqlite3.Connection, since: Micros, until: Micros) -> list[TracePrint]:
    """The fingerprints of the traces that began in the stretch."""
    rows = connection.execute(
        "SELECT fingerprint FROM traces WHERE started_at BETWEEN ? AND ? AND fingerprint IS NOT NULL AND fingerprint != x''",
        (since, until),
    )
    return [TracePrint.from_json(stored) for (stored,) in rows]


@dataclass(frozen=True, slots=True)
class Stored:
    """A request in our clock's time, and what became of it so far (the columns of the same names)."""

    request: VendorCall
    standing: str
    call_id: str | None
    trace_id: str | None
    app_id: str | None
    method: str | None
    confidence: float | None
    original: str | None


class Shifts:
    """The learnt clock differences of all sources: which one holds at which time."""

    def __init__(self, rows: Sequence[tuple[str, Micros, Micros]]) -> None:
        self._since: dict[str, list[Micros]] = {}
        self._shift: dict[str, list[Micros]] = {}
        for source, since, shift in sorted(rows):
            self._since.setdefault(source, []).append(since)
            self._shift.setdefault(source, []).append(shift)

    def at(self, source: str, time: Micros) -> Micros:
        """Micros to add to that source's time; the first known difference also holds before it was learnt."""
        if source not in self._since:
            return 0
        place = max(0, bisect_right(self._since[source], time) - 1)
        return self._shift[source][place]

    @property
    def widest(self) -> Micros:
        """The largest difference of any source."""
        return max((abs(shift) for shifts in self._shift.values() for shift in shifts), default=0)


def shifts(connection: sqlite3.Connection) -> Shifts:
    """All learnt clock differences."""
    return Shifts(connection.execute("SELECT source, since, shift FROM clock_shifts").fetchall())


def learn(connection: sqlite3.Connection, source: str, since: Micros, shift: Micros, pairs: int) -> None:
    """From that time of the source on, its clock differs by so much."""
    connection.execute(
        "INSERT OR REPLACE INTO clock_shifts VALUES (?, ?, ?, ?)", (source, since, shift, pairs)
    )


def requests(connection: sqlite3.Connection, since: Micros, until: Micros, known: Shifts) -> list[Stored]:
    """The requests that began in the stretch by our clock, in order."""
    rows = connection.execute(
        "SELECT record, standing, call_id, trace_id, app_id, method, confidence, original FROM evidence"
        " WHERE at BETWEEN ? AND ? ORDER BY at, source, id",
        (since - known.widest, until + known.widest),
    )
    found = []
    for record, *standing in rows:
        request = VendorCall.from_json(record)
        request = shifted(request, known.at(request.source, request.start))
        if since <= request.start <= until:
            found.append(Stored(request, *standing))
    return found
