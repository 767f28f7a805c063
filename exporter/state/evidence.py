"""Vendor requests as they arrived (texts already dropped), what was refused, and how far each source was read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

import orjson

from exporter.clock import rfc3339
from exporter.model import Micros, Tokens
from exporter.state import windows
from exporter.vendor.pullers.base import Bucket
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


def put_buckets(connection: sqlite3.Connection, buckets: Iterable[Bucket], now: Micros) -> None:
    """Store usage per stretch of time; what a source says later of the same stretch replaces what it said before."""
    connection.executemany(
        "INSERT OR REPLACE INTO usage_buckets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                item.source, item.starts_at, item.ends_at, item.model or "", item.key or "", item.group, item.requests,
                item.tokens.input, item.tokens.output, item.tokens.cache_read, item.tokens.cache_write,
                item.tokens.reasoning, None if item.cost is None else str(item.cost), item.currency, now,
            )
            for item in buckets
        ],
    )  # fmt: skip


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


def buckets_between(connection: sqlite3.Connection, since: Micros, until: Micros) -> Iterator[Bucket]:
    """The stretches that touch this time, those that its borders cut too."""
    rows = connection.execute(
        "SELECT source, starts_at, ends_at, model, key, part, requests, input, output, cache_read, cache_write, reasoning,"
        " cost, currency FROM usage_buckets WHERE ends_at > ? AND starts_at < ? ORDER BY source, starts_at, model, key, part",
        (since, until),
    )
    for source, starts_at, ends_at, model, key, part, requests, *tokens, cost, currency in rows:
        yield Bucket(
            source, starts_at, ends_at, model or None, key or None, Tokens(*tokens), requests,
            None if cost is None else Decimal(cost), currency, part,
        )  # fmt: skip


def bucket_sums(
    connection: sqlite3.Connection, since: Micros | None, until: Micros | None
) -> list[dict[str, object]]:
    """The usage of the stretches that lie in this time, summed per source, model and key."""
    names = ("source", "model", "key", "requests", "input", "output", "cost", "currency", "since", "until")
    rows = connection.execute(
        "SELECT source, nullif(model, ''), nullif(key, ''), sum(requests), sum(input), sum(output),"
        " sum(CAST(cost AS REAL)), currency, min(starts_at), max(ends_at) FROM usage_buckets"
        " WHERE starts_at >= ? AND ends_at <= ? GROUP BY source, model, key, currency ORDER BY source, model, key",
        (since if since is not None else -(2**62), until if until is not None else 2**62),
    )
    found = [dict(zip(names, row, strict=True)) for row in rows]
    for item in found:
        item["since"], item["until"] = rfc3339(int(item["since"])), rfc3339(int(item["until"]))
    return found


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
