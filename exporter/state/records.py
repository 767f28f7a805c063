"""Cursors and the durable set of Dify records: which were met, which must be read (again), and when."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exporter.model import Micros, RecordKind, RecordRef


@dataclass(frozen=True, slots=True)
class Due:
    """A record that should be read now. `is_watched`: it was already exported as unfinished."""

    ref: RecordRef
    checks: int
    is_watched: bool


def cursor(connection: sqlite3.Connection, stream: str) -> str | None:
    """The stored cursor of a stream."""
    row = connection.execute("SELECT cursor FROM cursors WHERE stream = ?", (stream,)).fetchone()
    return str(row[0]) if row else None


def move_cursor(connection: sqlite3.Connection, stream: str, to: str, now: Micros) -> None:
    """Store a cursor; belongs into the transaction that stores what it passed."""
    connection.execute(
        "INSERT INTO cursors VALUES (?, ?, ?) ON CONFLICT (stream) DO UPDATE SET cursor = excluded.cursor,"
        " moved_at = excluded.moved_at",
        (stream, to, now),
    )


def meet(connection: sqlite3.Connection, refs: Iterable[RecordRef], now: Micros) -> int:
    """Add records that are not known yet as due at once; returns how many were new."""
    before = connection.total_changes
    connection.executemany(
        "INSERT INTO records (kind, id, created_at, state, due_at, met_at) VALUES (?, ?, ?, 'pending', ?, ?)"
        " ON CONFLICT DO NOTHING",
        [(ref.kind.value, ref.id, ref.created_at, now, now) for ref in refs],
    )
    return connection.total_changes - before


def due(connection: sqlite3.Connection, now: Micros, limit: int) -> list[Due]:
    """Records whose time has come, longest due first; of those due at once the oldest."""
    rows = connection.execute(
        "SELECT kind, id, created_at, checks, state = 'watched' FROM records INDEXED BY records_due"
        " WHERE state IN ('pending', 'watched') AND due_at <= ? ORDER BY due_at, created_at LIMIT ?",
        (now, limit),
    )
    return [
        Due(RecordRef(RecordKind(kind), id_, created), checks, bool(w))
        for kind, id_, created, checks, w in rows
    ]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a record that was read: no more reading (done, filtered, vanished, or set_aside: kept with its
    reason, replayable), or another look at `due_at` (pending, or watched when it was already exported)."""

    ref: RecordRef
    state: str
    reason: str | None = None
    due_at: Micros = 0


def settle(connection: sqlite3.Connection, outcomes: Iterable[Outcome]) -> None:
    """Store outcomes."""
    connection.executemany(
        "UPDATE records SET state = ?, reason = ?, due_at = ?, checks = checks + (? > 0) WHERE kind = ? AND id = ?",
        [(o.state, o.reason, o.due_at, o.due_at, o.ref.kind.value, o.ref.id) for o in outcomes],
    )


def look_again(connection: sqlite3.Connection, refs: Sequence[RecordRef], now: Micros) -> int:
    """Make records due again: finished ones (new evidence, replay), and sooner those that wait for their next look.
    A finished one was looked at before, so it waits for nothing more. Returns how many finished ones it concerns."""
    before = connection.total_changes
    connection.executemany(
        "UPDATE records SET state = 'pending', due_at = ?, checks = iif(state = 'set_aside', 0, max(checks, 1))"
        " WHERE kind = ? AND id = ? AND state NOT IN ('pending', 'watched')",
        [(now, ref.kind.value, ref.id) for ref in refs],
    )
    again = connection.total_changes - before
    connection.executemany(
        "UPDATE records SET due_at = ? WHERE kind = ? AND id = ? AND state IN ('pending', 'watched') AND due_at > ?",
        [(now, ref.kind.value, ref.id, now) for ref in refs],
    )
    return again


def set_aside(connection: sqlite3.Connection) -> list[tuple[RecordRef, str]]:
    """Records that could not be turned into a trace, with the reason."""
    rows = connection.execute(
        "SELECT kind, id, created_at, reason FROM records WHERE state = 'set_aside' ORDER BY met_at"
    )
    return [(RecordRef(RecordKind(kind), id_, created), str(reason)) for kind, id_, created, reason in rows]


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """How many records are in each state."""
    return dict(connection.execute("SELECT state, count(*) FROM records GROUP BY state"))


def between(connection: sqlite3.Connection, since: Micros, until: Micros) -> tuple[int, int]:
    """Of the records created in this time: how many wait to be read (again), and how many were set aside."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM records WHERE state IN ('pending', 'watched') AND created_at >= ? AND created_at < ?),"
        " (SELECT count(*) FROM records WHERE state = 'set_aside' AND created_at >= ? AND created_at < ?)",
        (since, until, since, until),
    ).fetchone()
    return int(row[0]), int(row[1])


def oldest_due(connection: sqlite3.Connection, now: Micros) -> Micros | None:
    """The due time of the record that has waited longest to be read."""
    row = connection.execute(
        "SELECT min(due_at) FROM records INDEXED BY records_due WHERE state IN ('pending', 'watched') AND due_at <= ?",
        (now,),
    ).fetchone()
    return None if row[0] is None else int(row[0])


def is_crowded(connection: sqlite3.Connection, limit: int) -> bool:
    """True when more records than that wait to be read (again); cheap however many there are."""
    row = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM records INDEXED BY records_due WHERE state IN ('pending', 'watched') LIMIT ?)",
        (limit + 1,),
    ).fetchone()
    return int(row[0]) > limit


def due_count(connection: sqlite3.Connection) -> int:
    """Records that wait to be read for the first time."""
    return int(
        connection.execute("SELECT count(*) FROM records WHERE state = 'pending' AND checks = 0").fetchone()[
            0
        ]
    )
