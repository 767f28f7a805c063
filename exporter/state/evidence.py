"""Vendor requests as they arrived (texts already dropped), which call each belongs to, and what was refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from exporter.model import Call, Micros, RecordKind, RecordRef
from exporter.vendor.fingerprint import CallPrint
from exporter.vendor.record import VendorCall

SECOND = 1_000_000
_SLOW_START = 30 * SECOND
"""A row that never got an end may have begun its request some time after itself."""


def add(connection: sqlite3.Connection, records: Iterable[VendorCall], now: Micros) -> int:
    """Store requests; the same (source, id) again changes nothing. Returns how many were new."""
    before = connection.total_changes
    connection.executemany(
        "INSERT INTO evidence (source, id, at, record, seen_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(item.source, item.id, item.start, item.to_json(), now) for item in records],
    )
    return connection.total_changes - before


def refuse(connection: sqlite3.Connection, source: str, place: str, reason: str, now: Micros) -> None:
    """A record that could not be read: where it was and why, never what it said."""
    connection.execute(
        "INSERT INTO refused_evidence VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (source, place, reason, now),
    )


def around(
    connection: sqlite3.Connection, calls: Sequence[Call], skew: Micros
) -> tuple[list[VendorCall], list[CallPrint]]:
    """What happened while these calls ran: the vendor requests that began then, and the fingerprints of the other
    calls of that time. Both are needed: what stands beside a pair is part of its proof."""
    mine = {call.call_id for call in calls}
    slack = skew + 2 * SECOND
    requests: list[VendorCall] = []
    neighbours: list[CallPrint] = []
    for since, until in _merged(
        [(call.started_at - slack, call.ended_at + slack + _SLOW_START) for call in calls]
    ):
        rows = connection.execute(
            "SELECT record FROM evidence WHERE at BETWEEN ? AND ? ORDER BY at, source, id", (since, until)
        )
        requests += [VendorCall.from_json(record) for (record,) in rows]
        if requests:
            others = connection.execute(
                "SELECT call_id, fingerprint FROM calls WHERE started_at BETWEEN ? AND ? AND fingerprint != x''",
                (since - _SLOW_START, until),
            )
            neighbours += [CallPrint.from_json(stored) for call_id, stored in others if call_id not in mine]
    return requests, neighbours


def _merged(intervals: list[tuple[Micros, Micros]]) -> list[tuple[Micros, Micros]]:
    """Overlapping intervals as one, so that a run that paused for days does not ask for all the days between."""
    merged: list[tuple[Micros, Micros]] = []
    for since, until in sorted(intervals):
        if merged and since <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], until))
        else:
            merged.append((since, until))
    return merged


def assign(connection: sqlite3.Connection, matched: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """Bind requests to calls; what was bound to these calls before is freed first."""
    for call_id, keys in matched.items():
        connection.execute("UPDATE evidence SET call_id = NULL WHERE call_id = ?", (call_id,))
        connection.executemany(
            "UPDATE evidence SET call_id = ?, tried = 1 WHERE source = ? AND id = ?",
            [(call_id, source, identity) for source, identity in keys],
        )


def untried(connection: sqlite3.Connection, limit: int) -> list[VendorCall]:
    """Requests that arrived and were not yet held against calls already in the ledger."""
    rows = connection.execute(
        "SELECT record FROM evidence WHERE tried = 0 AND call_id IS NULL ORDER BY at LIMIT ?", (limit,)
    )
    return [VendorCall.from_json(record) for (record,) in rows]


def tried(connection: sqlite3.Connection, items: Iterable[VendorCall]) -> None:
    """They were held against the ledger."""
    connection.executemany(
        "UPDATE evidence SET tried = 1 WHERE source = ? AND id = ?",
        [(item.source, item.id) for item in items],
    )


def unproven_calls(connection: sqlite3.Connection, since: Micros, until: Micros) -> list[CallPrint]:
    """Fingerprints of exported calls of that time without an independent vendor reading."""
    rows = connection.execute(
        "SELECT fingerprint FROM calls WHERE started_at BETWEEN ? AND ? AND has_vendor = 0 AND fingerprint != x''",
        (since, until),
    )
    return [CallPrint.from_json(fingerprint) for (fingerprint,) in rows]


def records_of(connection: sqlite3.Connection, call_ids: Sequence[str]) -> list[RecordRef]:
    """The finished Dify records that these calls came from (pending ones will be read anyway)."""
    found = []
    for call_id in call_ids:
        row = connection.execute(
            "SELECT t.kind, t.record_id, t.created_at FROM calls c JOIN traces t USING (trace_id)"
            " JOIN records r ON r.kind = t.kind AND r.id = t.record_id WHERE c.call_id = ? AND r.state = 'done'",
            (call_id,),
        ).fetchone()
        if row:
            found.append(RecordRef(RecordKind(row[0]), row[1], row[2]))
    return found


def position(connection: sqlite3.Connection, path: str) -> str | None:
    """How far a file was read (opaque)."""
    row = connection.execute("SELECT position FROM evidence_files WHERE path = ?", (path,)).fetchone()
    return str(row[0]) if row else None


def move(connection: sqlite3.Connection, path: str, to: str, now: Micros) -> None:
    """Belongs into the transaction that stores what the position passed."""
    connection.execute(
        "INSERT INTO evidence_files VALUES (?, ?, ?) ON CONFLICT (path) DO UPDATE SET position = excluded.position,"
        " read_at = excluded.read_at",
        (path, to, now),
    )


def counts(connection: sqlite3.Connection) -> dict[str, tuple[int, int, int]]:
    """Per source: requests, of them matched to a call, records refused."""
    found: dict[str, tuple[int, int, int]] = {}
    for source, total, matched in connection.execute(
        "SELECT source, count(*), count(call_id) FROM evidence GROUP BY source"
    ):
        found[source] = (total, matched, 0)
    for source, refused in connection.execute(
        "SELECT source, count(*) FROM refused_evidence GROUP BY source"
    ):
        total, matched, _ = found.get(source, (0, 0, 0))
        found[source] = (total, matched, refused)
    return found
