"""Forgetting what is old: finished traces with their calls, records and evidence. Never what still waits."""

from __future__ import annotations

import sqlite3

from exporter.model import Micros
from exporter.state import buckets, totals

_BATCH = 5_000


def prune(connection: sqlite3.Connection, before: Micros) -> int:
    """Delete finished traces that began before that time, a batch at a time; returns how many went."""
    rows = connection.execute(
        "SELECT t.trace_id, t.kind, t.record_id FROM traces t JOIN records r ON r.kind = t.kind AND r.id = t.record_id"
        " WHERE t.started_at < ? AND r.state = 'done'"
        " AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.trace_id = t.trace_id) LIMIT ?",
        (before, _BATCH),
    ).fetchall()
    connection.executemany("DELETE FROM calls WHERE trace_id = ?", [(trace_id,) for trace_id, _, _ in rows])
    connection.executemany("DELETE FROM traces WHERE trace_id = ?", [(trace_id,) for trace_id, _, _ in rows])
    totals.forget(connection, [trace_id for trace_id, _, _ in rows])
    connection.executemany("DELETE FROM sent_as WHERE trace_id = ?", [(trace_id,) for trace_id, _, _ in rows])
    connection.executemany(
        "DELETE FROM records WHERE kind = ? AND id = ?", [(kind, id_) for _, kind, id_ in rows]
    )
    connection.execute(
        "DELETE FROM records WHERE state IN ('filtered', 'vanished') AND created_at < ? AND met_at < ?",
        (before, before),
    )
    connection.execute("DELETE FROM evidence WHERE at < ?", (before,))
    connection.execute("DELETE FROM refused_evidence WHERE seen_at < ?", (before,))
    buckets.prune(connection, before)
    return len(rows)
