"""Vendor requests as they arrived (texts already dropped), what was refused, and how far each source was read."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from exporter.model import Micros
from exporter.state import windows
from exporter.vendor.record import VendorCall


def add(connection: sqlite3.Connection, records: Sequence[VendorCall], now: Micros) -> int:
    """Store requests, and that matching must look at their times; the same (source, id) again changes nothing.
    Returns how many were new."""
    before = connection.total_changes
    connection.executemany(
        "INSERT INTO evidence (source, id, at, ends_at, standing, purpose, model, key, users, input, output, seen_at,"
        " record) VALUES (?, ?, ?, ?, 'new', ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [_row(item, now) for item in records],
    )
    new = connection.total_changes - before
    if new:
        windows.mark(connection, [(item.start, item.end) for item in records])
    return new


def _row(item: VendorCall, now: Micros) -> tuple[object, ...]:
    tokens = item.tokens
    return (
        item.source, item.id, item.start, item.end, item.purpose, item.response_model or item.model, item.key,
        orjson.dumps(item.users).decode(), tokens.input if tokens else None, tokens.output if tokens else None,
        now, item.to_json(),
    )  # fmt: skip


def is_empty(connection: sqlite3.Connection) -> bool:
    """True while no vendor request was ever stored."""
    return connection.execute("SELECT 1 FROM evidence LIMIT 1").fetchone() is None


def refuse(connection: sqlite3.Connection, source: str, place: str, reason: str, now: Micros) -> None:
    """A record that could not be read: where it was and why, never what it said."""
    connection.execute(
        "INSERT INTO refused_evidence VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (source, place, reason, now),
    )


def position(connection: sqlite3.Connection, source: str) -> str | None:
    """How far a source was read (opaque)."""
    row = connection.execute("SELECT position FROM evidence_positions WHERE source = ?", (source,)).fetchone()
    return str(row[0]) if row else None


def move(connection: sqlite3.Connection, source: str, to: str, now: Micros) -> None:
    """Belongs into the transaction that stores what the position passed."""
    connection.execute(
        "INSERT INTO evidence_positions VALUES (?, ?, ?) ON CONFLICT (source) DO UPDATE SET"
        " position = excluded.position, read_at = excluded.read_at",
        (source, to, now),
    )


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """Of one source: requests in all, of them matched to a call, and records refused."""

    requests: int = 0
    matched: int = 0
    refused: int = 0


def counts(connection: sqlite3.Connection) -> dict[str, SourceCounts]:
    """Counts per source."""
    found = {
        source: SourceCounts(total, matched)
        for source, total, matched in connection.execute(
            "SELECT source, count(*), sum(standing = 'matched') FROM evidence INDEXED BY evidence_standing GROUP BY source"
        )
    }
    for source, refused in connection.execute(
        "SELECT source, count(*) FROM refused_evidence GROUP BY source"
    ):
        known = found.get(source, SourceCounts())
        found[source] = SourceCounts(known.requests, known.matched, refused)
    return found
