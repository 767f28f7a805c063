"""Rendered traces that wait for a destination, and what became of them.

ready → in_doubt (a request is on its way, or its answer was never stored) → acked (2xx; kept until the destination's
confirmation rule) → gone; or dead (refused; kept with its reason until replayed).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from exporter.destinations.base import Unit
from exporter.model import Micros

_UNIT = "seq, trace_id, revision, spans, span_count, started_at, ended_at, state = 'in_doubt'"
_WITH_SPANS = "outbox CROSS JOIN outbox_spans USING (seq)"
"""The queue is walked by its index, and of what is taken the spans are read."""

MOST_SENDS = 8


@dataclass(frozen=True, slots=True)
class Parcel:
    """A trace rendered for one destination, not stored yet."""

    destination: str
    trace_id: str
    revision: int
    spans: bytes
    span_count: int
    started_at: Micros
    ended_at: Micros


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for one destination."""

    ready: int
    in_doubt: int
    acked: int
    dead: int
    spans: int
    size_bytes: int
    oldest_at: Micros | None


def put(connection: sqlite3.Connection, parcels: Sequence[Parcel], now: Micros) -> None:
    """Queue parcels. A newer revision replaces what still waits, and what was acknowledged before."""
    connection.executemany(
        "DELETE FROM outbox WHERE destination = ? AND trace_id = ? AND part > 0",
        [(p.destination, p.trace_id) for p in parcels],
    )
    connection.executemany(
        "INSERT INTO outbox (destination, trace_id, part, revision, state, size_bytes, span_count, started_at, ended_at,"
        " next_at, queued_at) VALUES (?, ?, 0, ?, 'ready', ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (destination, trace_id, part) DO UPDATE SET revision = excluded.revision, state = 'ready',"
        " size_bytes = excluded.size_bytes, span_count = excluded.span_count, started_at = excluded.started_at,"
        " ended_at = excluded.ended_at, attempts = 0, next_at = excluded.next_at, queued_at = excluded.queued_at,"
        " acked_at = NULL, reason = NULL",
        [
            (p.destination, p.trace_id, p.revision, len(p.spans), p.span_count, p.started_at, p.ended_at, now, now)
            for p in parcels
        ],
    )  # fmt: skip
    connection.executemany(
        "INSERT OR REPLACE INTO outbox_spans SELECT seq, ? FROM outbox WHERE destination = ? AND trace_id = ? AND part = 0",
        [(p.spans, p.destination, p.trace_id) for p in parcels],
    )


def take(
    connection: sqlite3.Connection,
    destination: str,
    now: Micros,
    limit: int,
    max_spans: int = 2**31,
    max_bytes: int = 2**62,
) -> list[Unit]:
    """The next units to send in one request, longest due first; those in doubt before new ones.

    Stops at `limit` units or before the sums of spans or bytes grow too large; one unit larger than that comes alone.
    Reads no further than that, however much waits.
    """
    taken: list[Unit] = []
    spans = size = 0
    for state in ("in_doubt", "ready"):
        rows = connection.execute(
            f"SELECT {_UNIT} FROM {_WITH_SPANS} WHERE destination = ? AND state = '{state}' AND next_at <= ?"
            " ORDER BY next_at, seq",
            (destination, now),
        )
        for row in rows:
            unit = _unit(row)
            spans += unit.span_count
            size += len(unit.spans)
            if len(taken) == limit or (taken and (spans > max_spans or size > max_bytes)):
                return taken
            taken.append(unit)
    return taken


def _unit(row: tuple) -> Unit:  # type: ignore[type-arg]
    return Unit(row[0], row[1], row[2], row[3], row[4], row[5], row[6], bool(row[7]))


def sending(connection: sqlite3.Connection, seqs: Sequence[int]) -> None:
    """A request with these units is about to leave: in doubt until its answer is stored."""
    connection.executemany(
        "UPDATE outbox SET state = 'in_doubt', attempts = attempts + 1 WHERE seq = ?",
        [(seq,) for seq in seqs],
    )


def acknowledged(connection: sqlite3.Connection, units: Sequence[Unit], now: Micros, look_at: Micros) -> None:
    """2xx: kept until confirmed, first looked for at `look_at`. A unit replaced by a newer revision stays ready."""
    connection.executemany(
        "UPDATE outbox SET state = 'acked', acked_at = ?, next_at = ?, reason = NULL WHERE seq = ? AND revision = ?",
        [(now, look_at, unit.seq, unit.revision) for unit in units],
    )


def later(
    connection: sqlite3.Connection, units: Sequence[Unit], at: Micros, reason: str, *, sent: bool
) -> None:
    """Try these again at that time; `sent` keeps them in doubt (the request may have arrived)."""
    connection.executemany(
        "UPDATE outbox SET state = ?, next_at = ?, reason = ? WHERE seq = ? AND revision = ?",
        [("in_doubt" if sent else "ready", at, reason, unit.seq, unit.revision) for unit in units],
    )


def bury(connection: sqlite3.Connection, unit: Unit, reason: str) -> None:
    """Dead letter: kept with its reason, out of the way, until replayed."""
    connection.execute(
        "UPDATE outbox SET state = 'dead', reason = ? WHERE seq = ? AND revision = ?",
        (reason, unit.seq, unit.revision),
    )


def split(connection: sqlite3.Connection, unit: Unit, pieces: Sequence[tuple[bytes, int]]) -> list[int]:
    """Replace a unit by smaller parts of the same trace; returns their numbers.

    The parts keep the unit's place and their own order in the queue (by microseconds before its due time), so that a
    parent span is always sent before its children.
    """
    destination, next_at, queued_at = connection.execute(
        "SELECT destination, next_at, queued_at FROM outbox WHERE seq = ?", (unit.seq,)
    ).fetchone()
    top = connection.execute(
        "SELECT max(part) FROM outbox WHERE destination = ? AND trace_id = ?", (destination, unit.trace_id)
    ).fetchone()[0]
    connection.execute("DELETE FROM outbox WHERE seq = ?", (unit.seq,))
    after = sum(count for _, count in pieces)
    seqs: list[int] = []
    for number, (spans, count) in enumerate(pieces, start=1):
        after -= count
        row = connection.execute(
            "INSERT INTO outbox (destination, trace_id, part, revision, state, size_bytes, span_count, started_at,"
            " ended_at, next_at, queued_at) VALUES (?, ?, ?, ?, 'ready', ?, ?, ?, ?, ?, ?) RETURNING seq",
            (
                destination, unit.trace_id, top + number, unit.revision, len(spans), count,
                unit.started_at, unit.ended_at, next_at - after, queued_at,
            ),
        ).fetchone()  # fmt: skip
        seqs.append(int(row[0]))
    connection.executemany(
        "INSERT INTO outbox_spans VALUES (?, ?)", zip(seqs, (spans for spans, _ in pieces), strict=True)
    )
    return seqs


def waiting_parts(connection: sqlite3.Connection, destination: str, trace_id: str) -> list[Unit]:
    """What of a trace still waits for a destination."""
    rows = connection.execute(
        f"SELECT {_UNIT} FROM {_WITH_SPANS} WHERE destination = ? AND trace_id = ? AND state IN ('ready', 'in_doubt')"
        " ORDER BY next_at, seq",
        (destination, trace_id),
    )
    return [_unit(row) for row in rows]


def acked(
    connection: sqlite3.Connection, destination: str, now: Micros, limit: int
) -> list[tuple[Unit, Micros]]:
    """Acknowledged units whose next look is due, with the time they were acknowledged."""
    rows = connection.execute(
        f"SELECT {_UNIT}, acked_at FROM {_WITH_SPANS} WHERE destination = ? AND state = 'acked' AND next_at <= ?"
        " ORDER BY next_at, seq LIMIT ?",
        (destination, now, limit),
    )
    return [(_unit(row), row[8]) for row in rows]


def forget(connection: sqlite3.Connection, units: Sequence[Unit]) -> None:
    """The receipt is stored (or the confirmation rule met): the text is dropped."""
    connection.executemany(
        "DELETE FROM outbox WHERE seq = ? AND revision = ?", [(unit.seq, unit.revision) for unit in units]
    )


def send_again(connection: sqlite3.Connection, units: Sequence[Unit], now: Micros) -> None:
    """Acknowledged, but not there: back to ready. After `MOST_SENDS` tries a dead letter, because a platform that always
    acknowledges and never stores (or stores something else) would be asked for ever."""
    connection.executemany(
        "UPDATE outbox SET state = CASE WHEN attempts < ? THEN 'ready' ELSE 'dead' END, acked_at = NULL, next_at = ?,"
        " reason = 'acknowledged, then not found (' || attempts || ' times)' WHERE seq = ? AND revision = ?",
        [(MOST_SENDS, now, unit.seq, unit.revision) for unit in units],
    )


def check_later(connection: sqlite3.Connection, units: Sequence[Unit], at: Micros) -> None:
    """Look for these acknowledged units again at that time."""
    connection.executemany(
        "UPDATE outbox SET next_at = ? WHERE seq = ? AND state = 'acked'", [(at, unit.seq) for unit in units]
    )


def revive(connection: sqlite3.Connection, now: Micros, destination: str | None = None) -> int:
    """Dead letters back to ready; returns how many."""
    found = connection.execute(
        "UPDATE outbox SET state = 'ready', attempts = 0, next_at = ?1, reason = NULL"
        " WHERE state = 'dead' AND (?2 IS NULL OR destination = ?2)",
        (now, destination),
    )
    return found.rowcount


def dead(connection: sqlite3.Connection, limit: int = 100) -> list[tuple[str, str, str, int]]:
    """(destination, trace id, reason, spans) of dead letters."""
    return list(
        connection.execute(
            "SELECT destination, trace_id, reason, span_count FROM outbox WHERE state = 'dead' ORDER BY seq LIMIT ?",
            (limit,),
        )
    )


def backlogs(connection: sqlite3.Connection) -> dict[str, Backlog]:
    """What waits, per destination."""
    rows = connection.execute(
        "SELECT destination, sum(state = 'ready'), sum(state = 'in_doubt'), sum(state = 'acked'), sum(state = 'dead'),"
        " sum(CASE WHEN state IN ('ready', 'in_doubt') THEN span_count ELSE 0 END), sum(size_bytes),"
        " min(CASE WHEN state IN ('ready', 'in_doubt') THEN queued_at END) FROM outbox GROUP BY destination"
    )
    return {name: Backlog(*numbers) for name, *numbers in rows}


def size_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of text that wait to be sent (acknowledged ones included, since they may have to be sent again)."""
    return int(connection.execute("SELECT coalesce(sum(size_bytes), 0) FROM outbox").fetchone()[0])


def next_at(connection: sqlite3.Connection, destination: str) -> Micros | None:
    """When the next unit of a destination becomes due."""
    row = connection.execute(
        "SELECT min(next_at) FROM outbox WHERE destination = ? AND state IN ('ready', 'in_doubt')",
        (destination,),
    ).fetchone()
    return None if row[0] is None else int(row[0])
